/** Variables that an interpreter, the C library or the loader reads when a process starts, and not again. */
const READ_AT_START = /^(?:PYTHON|LD_|LC_|MALLOC_)|^(?:LANG|LOCPATH|GLIBC_TUNABLES)$/;
/** Of them, those that can be put in force in an interpreter that runs, for the time of a cell. */
const SET_IN_CONTEXTS = new Set([
  'PYTHONDONTWRITEBYTECODE',
  'PYTHONFAULTHANDLER',
  'PYTHONPATH',
  'PYTHONUNBUFFERED',
  'PYTHONWARNINGS',
]);
const LOCALE = /^(?:LANG|LC_[A-Z]+)$/;
/** Locales whose texts are UTF-8, which an interpreter's are. */
const UTF8_LOCALE = /utf-?8|^(?:C|POSIX|)$/i;

/** Whether code with these variables needs an interpreter of its own, which starts with them. */
export function needNewInterpreter(names: readonly string[]): boolean {
  return names.some((name) => READ_AT_START.test(name));
}

/** Why this variable cannot be in force; undefined if it can. */
export function whyRefused(name: string, value: string, inContext: boolean): string | undefined {
  if (name === 'PYTHONINSPECT') return 'there is no terminal to go on at when the code has ended; leave it out';
  if (!inContext || !READ_AT_START.test(name) || SET_IN_CONTEXTS.has(name)) return undefined;
  if (LOCALE.test(name))
    return UTF8_LOCALE.test(value)
      ? undefined
      : 'a context reads and writes UTF-8; name a UTF-8 locale, or leave out "context"';
  return 'it is read when an interpreter starts, and that of a context has; leave out "context", or set it in a program that the code starts';
}
