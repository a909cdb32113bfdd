/** The part of the WebAssembly API that is used here. TypeScript has it only together with the whole DOM. */
declare namespace WebAssembly {
  type Imports = Record<string, Record<string, unknown>>;

  class Module {
    private constructor();
  }

  class Instance {
    constructor(module: Module, imports: Imports);
  }

  function compile(bytes: Uint8Array): Promise<Module>;
}
