import { decodeName, spellName } from '../tar/names.ts';

/** Converts a path that a caller sent as bytes, or with lone surrogates for invalid UTF-8, to the usual spelling. */
export function spellSentPath(path: string | Buffer): string {
  const name = typeof path === 'string' ? path : decodeName(path);
  return name.replace(/[\udc80-\udcff]/gu, spellName);
}
