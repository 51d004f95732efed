/**
 * File names are bytes. Inside Glovebox they are text as in Python, where each byte that is not UTF-8 becomes a lone
 * surrogate (PEP 383). Callers see and send such a byte as `\xff`, which every JSON reader and model can handle. The
 * runner does the same in sandbox-image/runner/_glovebox/files/file_names.py. Both files must change together.
 */

/** Pattern of one character of UTF-8, or else of one byte. */
const CHARACTERS =
  /[\0-\x7f]+|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[\x80-\xff]/g;
/** Pattern of a surrogate that stands for a byte that is not UTF-8. */
const ESCAPED_BYTE = /[\udc80-\udcff]/u;
const ESCAPED_BYTES = /([\udc80-\udcff]+)/u;
const TO_ESCAPE = /[\udc80-\udcff]|\\(?=x(?:5c|[89a-f][0-9a-f]))/gu;

/** Converts the bytes of a name to text. `encodeName` converts it back to the same bytes. */
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

/** Converts a name to its bytes. */
export function encodeName(name: string): Buffer {
  if (!ESCAPED_BYTE.test(name)) return Buffer.from(name);
  const parts = name.split(ESCAPED_BYTES).map((part) => {
    if (!ESCAPED_BYTE.test(part)) return Buffer.from(part);
    return Buffer.from(Array.from(part, (char) => char.charCodeAt(0) - 0xdc00));
  });
  return Buffer.concat(parts);
}

/** Converts a name to the form that callers see: valid Unicode, and different for each name. */
export function spellName(name: string): string {
  return name.replace(TO_ESCAPE, (found) =>
    found === '\\' ? '\\x5c' : `\\x${(found.charCodeAt(0) - 0xdc00).toString(16)}`,
  );
}
