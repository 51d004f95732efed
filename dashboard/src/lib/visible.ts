/** Marks that turn the direction of text, and could make it say something else than it does. */
const DIRECTION_MARKS = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROLS = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F]/g;

/** Text in which every mark that has no shape is seen. It keeps line feeds and tabs. */
export function visible(text: string): string {
  return text.replace(DIRECTION_MARKS, showMark).replace(CONTROLS, showControl);
}

function showMark(mark: string): string {
  return `⟨U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`;
}

function showControl(control: string): string {
  const code = control.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? '␡' : showMark(control);
}
