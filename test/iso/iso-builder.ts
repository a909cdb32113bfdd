/** A small writer of ISO 9660 images (ECMA-119), upper-case names with `;1` as mkisofs writes them. */
const SECTOR = 2048;
const FIRST_SECTOR = 20;

export type IsoTree = Map<string, Buffer>;

interface Node {
  readonly name: string;
  readonly path: string;
  readonly children: Map<string, Node>;
  data?: Buffer;
  sector: number;
}

export interface BuildOptions {
  readonly volumeId?: string;
  readonly hybrid?: boolean;
  /** As xorriso, names keep their case and have no version. */
  readonly lowerCase?: boolean;
}

export function buildIso(tree: IsoTree, options: BuildOptions = {}): { image: Buffer; places: Map<string, number> } {
  const root = treeOf(tree);
  const nodes = [...walk(root)];
  let sector = FIRST_SECTOR;
  for (const node of nodes) {
    node.sector = sector;
    sector += Math.max(1, Math.ceil(sizeOf(node, options) / SECTOR));
  }
  const image = Buffer.alloc(sector * SECTOR);
  writeVolume(image, root, sector, options);
  const places = new Map<string, number>();
  for (const node of nodes) {
    const offset = node.sector * SECTOR;
    places.set(node.path, offset);
    if (node.data) node.data.copy(image, offset);
    else writeFolder(image, offset, node, options);
  }
  if (options.hybrid) writeBootSector(image);
  return { image, places };
}

function treeOf(tree: IsoTree): Node {
  const root: Node = { name: '', path: '', children: new Map(), sector: 0 };
  for (const [path, data] of [...tree].sort(([a], [b]) => (a.toUpperCase() < b.toUpperCase() ? -1 : 1))) {
    let node = root;
    for (const name of path.split('/')) {
      const child = node.children.get(name) ?? {
        name,
        path: node.path === '' ? name : `${node.path}/${name}`,
        children: new Map(),
        sector: 0,
      };
      node.children.set(name, child);
      node = child;
    }
    node.data = data;
  }
  return root;
}

function* walk(node: Node): Generator<Node> {
  yield node;
  for (const child of node.children.values()) yield* walk(child);
}

function isoName(node: Node, { lowerCase = false }: BuildOptions): string {
  if (lowerCase) return node.name;
  const name = node.name.toUpperCase().replace(/(\.[^.]{3})[^.]+$/, '$1');
  return node.data ? `${name};1` : name;
}

function recordLength(name: string): number {
  return 33 + name.length + ((name.length + 1) % 2);
}

/** Records don't cross sectors. */
function placeRecords(node: Node, options: BuildOptions): { offsets: number[]; size: number } {
  let position = 2 * 34;
  const offsets = [...node.children.values()].map((child) => {
    const length = recordLength(isoName(child, options));
    if ((position % SECTOR) + length > SECTOR) position = Math.ceil(position / SECTOR) * SECTOR;
    position += length;
    return position - length;
  });
  return { offsets, size: Math.ceil(position / SECTOR) * SECTOR };
}

function sizeOf(node: Node, options: BuildOptions): number {
  return node.data ? node.data.length : placeRecords(node, options).size;
}

function writeFolder(image: Buffer, offset: number, node: Node, options: BuildOptions): void {
  writeRecord(image, offset, '\0', node, options);
  writeRecord(image, offset + 34, '\x01', node, options);
  const { offsets } = placeRecords(node, options);
  [...node.children.values()].forEach((child, index) => {
    writeRecord(image, offset + (offsets[index] ?? 0), isoName(child, options), child, options);
  });
}

function writeRecord(image: Buffer, offset: number, name: string, node: Node, options: BuildOptions): void {
  const size = sizeOf(node, options);
  image[offset] = recordLength(name);
  image.writeUInt32LE(node.sector, offset + 2);
  image.writeUInt32BE(node.sector, offset + 6);
  image.writeUInt32LE(size, offset + 10);
  image.writeUInt32BE(size, offset + 14);
  image[offset + 25] = node.data ? 0 : 2;
  image.writeUInt16LE(1, offset + 28);
  image.writeUInt16BE(1, offset + 30);
  image[offset + 32] = name.length;
  image.write(name, offset + 33, 'latin1');
}

function writeVolume(image: Buffer, root: Node, sectors: number, options: BuildOptions): void {
  const primary = image.subarray(16 * SECTOR, 17 * SECTOR);
  primary.write('\x01CD001\x01', 'latin1');
  primary.fill(' ', 8, 72);
  primary.write(options.volumeId ?? 'VOLUME', 40, 'latin1');
  primary.writeUInt32LE(sectors, 80);
  primary.writeUInt32BE(sectors, 84);
  primary.writeUInt16LE(1, 120);
  primary.writeUInt16LE(1, 124);
  primary.writeUInt16LE(SECTOR, 128);
  primary.writeUInt16BE(SECTOR, 130);
  writeRecord(primary, 156, '\0', root, options);
  image.write('\xffCD001\x01', 17 * SECTOR, 'latin1');
}

function writeBootSector(image: Buffer): void {
  image.fill(0x90, 0, 64);
  image[446] = 0x80;
  image[450] = 0x17;
  image.writeUInt32LE(image.length / 512, 458);
  image.writeUInt16LE(0xaa55, 510);
}
