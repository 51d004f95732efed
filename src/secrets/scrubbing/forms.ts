/** A spelling of a secret: bytes, which are found without regard to the case of letters. */
export interface Form {
  readonly bytes: Buffer;
  /** Whether lines may be broken within it, as in base64 of a mail. It has no blanks of its own then. */
  readonly wraps: boolean;
}

/** Shortest spelling in bytes that is looked for. A shorter one would be found where it is only a coincidence. */
const SHORTEST_FORM = 8;

/** A secret as it is, and as others would write it. Blanks around it are not of it: servers leave them out. */
export function formsOf(whole: string): Form[] {
  const secret = whole.trim();
  const bytes = Buffer.from(secret, 'utf8');
  const texts = [...escapes(secret), ...percentEncodings(secret, bytes), ...markup(secret)];
  const forms: Form[] = [
    ...texts.map((text) => ({ bytes: Buffer.from(text, 'utf8'), wraps: false })),
    // As bytes that are read one by one, in texts.
    { bytes: Buffer.from(bytes.toString('latin1'), 'utf8'), wraps: false },
    { bytes: Buffer.from(secret, 'utf16le'), wraps: false },
    { bytes: Buffer.from(secret, 'utf16le').swap16(), wraps: false },
    { bytes: Buffer.from(bytes.toString('hex')), wraps: true },
    ...listsOf(bytes).map((text) => ({ bytes: Buffer.from(text), wraps: false })),
    ...[0, 1, 2].flatMap((before) => base64Within(bytes, before)),
  ];
  const distinct = new Map(forms.map((form) => [form.bytes.toString('latin1').toLowerCase(), form]));
  return [...distinct.values()].filter((form) => form.bytes.length >= SHORTEST_FORM);
}

/** As a string of JSON and of JavaScript, also within another. */
function escapes(secret: string): string[] {
  const quoted = JSON.stringify(secret).slice(1, -1);
  const ascii = escapeMatches(quoted, /[^ -~]/g);
  return [
    secret,
    quoted,
    JSON.stringify(quoted).slice(1, -1),
    ascii,
    // What is written so that it may stand in HTML.
    escapeMatches(ascii, /[<>&']/g),
    quoted.replaceAll('/', '\\/'),
    ascii.replaceAll('/', '\\/'),
    escapeMatches(ascii, /[<>&']/g).replaceAll('/', '\\/'),
  ];
}

function escapeMatches(text: string, pattern: RegExp): string {
  return text.replace(pattern, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function percentEncodings(secret: string, bytes: Buffer): string[] {
  // Lone halves of characters have no percent-encoding.
  const url = encodeURIComponent(secret.toWellFormed());
  const strict = url.replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16)}`);
  const form = new URLSearchParams([['', secret]]).toString().slice(1);
  return [
    ...[url, strict, form, url.replaceAll('%2F', '/'), strict.replaceAll('%2F', '/')],
    ...[url.replaceAll('%', '%25'), strict.replaceAll('%', '%25'), form.replaceAll('%', '%25')],
    [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  ];
}

/** As a list of bytes: in hexadecimal, as in dumps, and as numbers of JSON. */
function listsOf(bytes: Buffer): string[] {
  const codes = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'));
  return [codes.join(' '), codes.join(':'), [...bytes].join(','), [...bytes].join(', ')];
}

/** As text of HTML and XML. */
function markup(secret: string): string[] {
  const plain = secret.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const quoted = plain.replaceAll('"', '&quot;');
  return [
    ...[plain, quoted, plain.replaceAll('"', '&#34;').replaceAll("'", '&#39;')],
    ...['&#39;', '&#x27;', '&apos;', '&#039;'].map((apostrophe) => quoted.replaceAll("'", apostrophe)),
  ];
}

/**
 * What base64 of a text holds for sure when the secret begins `before` bytes (modulo 3) into that text: all characters
 * but those that depend on what stands around the secret.
 */
function base64Within(bytes: Buffer, before: number): Form[] {
  const padded = Buffer.concat([Buffer.alloc(before), bytes]);
  const whole = padded.toString('base64url');
  const first = before === 0 ? 0 : before + 1;
  const last = padded.length % 3 === 0 ? whole.length : whole.length - 1;
  const plain = padded.toString('base64').replace(/=+$/, '');
  // Within JSON, some write "/" as "\/".
  const texts = [whole, plain].map((text) => text.slice(first, last));
  return [...texts, ...texts.map((text) => text.replaceAll('/', '\\/')), ...texts.map(encodeURIComponent)].map(
    (text) => ({ bytes: Buffer.from(text), wraps: !text.includes('\\') }),
  );
}
