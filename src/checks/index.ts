// STUB
export function checkSpecVersion(_c: unknown, _r: string): string | undefined {
  return undefined;
}
export function findSecrets(_c: unknown): { kind: string; path: string }[] {
  return [];
}
export function isEmptyConfig(_c: unknown): boolean {
  return false;
}
