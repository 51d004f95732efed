import { decodeName, spellName } from '../tar/names.ts';

/** A path that a caller sent as bytes, or with lone surrogates for what is no UTF-8, as it is spelled elsewhere. */
export function spellSentPath(path: string | Buffer): string {
  const name = typeof path === 'string' ? path : decodeName(path);
  return name.replace(/[\udc80-\udcff]/gu, spellName);
}
