/**
 * Names of files are bytes. In here they are text as Python has it, where each byte that is no UTF-8 is a lone surrogate
 * of its own (PEP 383); callers see and send such a byte as `\xff`, which every JSON reader and any model can handle.
 * The sandbox's half is sandbox-image/runner/_glovebox/files/file_names.py; the two change together.
 */

/** One character of UTF-8, or else one byte. */
const CHARACTERS =
  /[\0-\x7f]+|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[\x80-\xff]/g;
const STRANGE = /[\udc80-\udcff]/u;
const STRANGE_RUNS = /([\udc80-\udcff]+)/u;
const TO_SPELL = /[\udc80-\udcff]|\\(?=x(?:5c|[89a-f][0-9a-f]))/gu;

/** The bytes of a name as text, from which `encodeName` makes the same bytes. */
export function decodeName(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (!text.includes('\ufffd')) return text;
  return bytes
    .toString('latin1')
    .replace(CHARACTERS, (found) =>
      found.length === 1 && found > '\x7f'
        ? String.fromCharCode(0xdc00 + found.charCodeAt(0))
        : Buffer.from(found, 'latin1').toString('utf8'),
    );
}

/** The bytes of a name. */
export function encodeName(name: string): Buffer {
  if (!STRANGE.test(name)) return Buffer.from(name);
  const parts = name.split(STRANGE_RUNS).map((part) => {
    if (!STRANGE.test(part)) return Buffer.from(part);
    return Buffer.from(Array.from(part, (char) => char.charCodeAt(0) - 0xdc00));
  });
  return Buffer.concat(parts);
}

/** A name as callers see it: valid Unicode, and no other name has the same. */
export function spellName(name: string): string {
  return name.replace(TO_SPELL, (found) =>
    found === '\\' ? '\\x5c' : `\\x${(found.charCodeAt(0) - 0xdc00).toString(16)}`,
  );
}
