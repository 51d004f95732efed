/** Variables that the interpreter, the C library or the loader reads only when a process starts. */
const READ_AT_START = /^(?:PYTHON|LD_|LC_|MALLOC_)|^(?:LANG|LOCPATH|GLIBC_TUNABLES)$/;
/** Variables of these that can also take effect in a running interpreter, for one execution. */
const SET_IN_CONTEXTS = new Set([
  'PYTHONDONTWRITEBYTECODE',
  'PYTHONFAULTHANDLER',
  'PYTHONPATH',
  'PYTHONUNBUFFERED',
  'PYTHONWARNINGS',
]);
const LOCALE = /^(?:LANG|LC_[A-Z]+)$/;
/** Locales with UTF-8 text, which the interpreter uses. */
const UTF8_LOCALE = /utf-?8|^(?:C|POSIX|)$/i;

/** Whether code with these variables needs a new interpreter that starts with them. */
export function needNewInterpreter(names: readonly string[]): boolean {
  return names.some((name) => READ_AT_START.test(name));
}

/** Returns why a variable cannot take effect; undefined if it can. */
export function whyRefused(name: string, value: string, inContext: boolean): string | undefined {
  if (name === 'PYTHONINSPECT') return 'there is no terminal for an interactive mode after the code; leave it out';
  if (!inContext || !READ_AT_START.test(name) || SET_IN_CONTEXTS.has(name)) return undefined;
  if (LOCALE.test(name))
    return UTF8_LOCALE.test(value)
      ? undefined
      : 'a context reads and writes UTF-8; name a UTF-8 locale, or leave out "context"';
  return 'it is read only when an interpreter starts, and the interpreter of a context runs already; leave out "context", or set it in a program that the code starts';
}
