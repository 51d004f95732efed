import { fstatSync } from 'node:fs';

/** Standard input that is a file, a pipe or a socket. Undefined for a terminal, for `/dev/null`, and if it is closed. */
export function pipedInput(): NodeJS.ReadStream | undefined {
  try {
    const found = fstatSync(0);
    return found.isFile() || found.isFIFO() || found.isSocket() ? process.stdin : undefined;
  } catch {
    return undefined;
  }
}
