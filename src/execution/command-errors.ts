import { nearest } from '../lib/nearest.ts';
import type { FullReport } from './report.ts';

/** Why a command could not be run, in the form that exceptions have in results. */
interface CommandError {
  readonly name: string;
  readonly value: string;
  readonly traceback: '';
  readonly hint?: string | undefined;
}

/** Exit codes by which shells say why they could not run a command. */
const CANNOT_RUN = 126;
const NOT_FOUND = 127;
/** Characters at the end of stderr that are looked at. */
const LAST_CHARACTERS = 8192;
const NAME = /^[A-Za-z0-9_][\w.+-]{0,63}$/;
/** How shells say that they have not found a command: bash, and dash. */
const SAID_MISSING = /^(?:[^\n]{0,300}: )?([^\s:][^:\n]{0,200}): (?:command not found|not found)$/gm;
/** How a shell says that it cannot run a file. */
const SAID_DENIED =
  /^(?:[^\n]{0,300}: )?([^\s:][^:\n]{0,200}): (Permission denied|Is a directory|cannot execute[^\n]{0,80}|Exec format error|Argument list too long)$/gm;
const SAID_NO_FILE = /^(?:[^\n]{0,300}: )?([^\s:][^:\n]{0,200}): (?:No such file or directory|no such file)$/gm;

/** Commands of Python packages, where the package has another name. */
const PACKAGES: Readonly<Record<string, string>> = {
  http: 'httpie',
  ipython3: 'ipython',
  jq: 'jq',
  csvlook: 'csvkit',
  csvstat: 'csvkit',
  csvcut: 'csvkit',
  in2csv: 'csvkit',
  'jupyter-lab': 'jupyterlab',
  'jupyter-nbconvert': 'nbconvert',
  pyftsubset: 'fonttools',
};
/** Commands of Python packages by the names of the packages. */
const SAME_NAME = new Set([
  ...[
    'black',
    'cookiecutter',
    'coverage',
    'cython',
    'flake8',
    'flask',
    'gunicorn',
    'hatch',
    'httpie',
    'invoke',
    'ipython',
  ],
  ...['isort', 'jupyter', 'jupyterlab', 'mkdocs', 'mypy', 'nbconvert', 'nox', 'pdm', 'pipx', 'poetry', 'pre-commit'],
  ...[
    'pylint',
    'pyright',
    'pytest',
    'pyupgrade',
    'ruff',
    'scrapy',
    'sqlfluff',
    'sqlite-utils',
    'streamlit',
    'tox',
    'twine',
  ],
  ...[
    'uv',
    'uvicorn',
    'virtualenv',
    'visidata',
    'yamllint',
    'yapf',
    'yt-dlp',
    'csvkit',
    'nltk',
    'spacy',
    'sphinx-build',
  ],
]);
const ROOT = new Set(['sudo', 'su', 'doas']);
const SYSTEM_PACKAGES = new Set([
  'apt',
  'apt-get',
  'aptitude',
  'dnf',
  'yum',
  'apk',
  'brew',
  'pacman',
  'snap',
  'zypper',
]);

/**
 * Returns why a command could not be run, with advice, if its report or its stderr says so.
 * @param stderr what it wrote, which is not trusted
 */
export function explainCommand(
  { exit_code: code, error, commands = [] }: Pick<FullReport, 'exit_code' | 'error' | 'commands'>,
  stderr: string,
): CommandError | undefined {
  if (error) {
    const { name, value } = error;
    return withHint({ name, value, traceback: '' }, hintForOwn(name, value, commands));
  }
  const said = stderr.slice(-LAST_CHARACTERS);
  if (code === NOT_FOUND) return explainMissing(said, commands);
  return code === CANNOT_RUN ? explainDenied(said) : undefined;
}

function explainMissing(said: string, commands: readonly string[]): CommandError | undefined {
  const name = lastOf(said, SAID_MISSING)?.[1];
  if (name !== undefined) {
    const error = { name: 'CommandNotFound', value: `${name}: command not found`, traceback: '' } as const;
    return withHint(error, adviseOnMissing(name, commands));
  }
  const file = lastOf(said, SAID_NO_FILE)?.[1];
  if (file === undefined) return undefined;
  // Without a slash it was looked for by an empty PATH.
  const hint = file.includes('/') ? NO_FILE : adviseOnMissing(file, commands);
  return withHint({ name: 'CommandNotFound', value: `${file}: no such file`, traceback: '' }, hint);
}

function explainDenied(said: string): CommandError | undefined {
  const [, name, why] = lastOf(said, SAID_DENIED) ?? [];
  if (name === undefined || why === undefined) return undefined;
  return withHint({ name: 'CommandNotExecutable', value: `${name}: ${why}`, traceback: '' }, adviseOnDenied(why));
}

/** Hint to an error that the runner itself has found. */
function hintForOwn(name: string, value: string, commands: readonly string[]): string | undefined {
  switch (name) {
    case 'CommandNotFound': {
      if (/: its interpreter is not there$/.test(value)) return NO_INTERPRETER;
      if (/: no such file$/.test(value)) return NO_FILE;
      return adviseOnMissing(value.replace(/: command not found$/, ''), commands);
    }
    case 'CommandNotExecutable':
      return adviseOnDenied(value);
    case 'WorkingDirectoryError':
      return 'cwd is a folder that is there when the command begins, relative to /workspace; mkdir -p makes one.';
    case 'NoShell':
      return 'Send the command as a list of a program and its arguments, such as ["python3", "-c", "print(1)"].';
    default:
      return undefined;
  }
}

function adviseOnMissing(name: string, commands: readonly string[]): string | undefined {
  if (ROOT.has(name)) return 'There is no root in the sandbox: leave it out.';
  if (SYSTEM_PACKAGES.has(name))
    return 'Programs of the system cannot be added to a session. Python packages come by install_dependencies; other programs, by the image that the operator chooses.';
  if (!NAME.test(name)) return undefined;
  if (commands.length === 0)
    return 'PATH names no folder with programs: leave PATH out of env, or name programs by their whole path, such as /usr/bin/env.';
  const meant = nearest(name, commands);
  const similar = meant !== undefined && NAME.test(meant) ? `Did you mean ${meant}? ` : '';
  const bringing = PACKAGES[name] ?? (SAME_NAME.has(name) ? name : undefined);
  if (bringing !== undefined)
    return `${similar}It comes with a Python package: call install_dependencies with packages ["${bringing}"], then run this again.`;
  return similar.trim() || `The image has no program ${name}; do it in Python, or with another one.`;
}

const NO_FILE =
  'A path is relative to the folder that the command runs in, by default /workspace; list_files tells what is there.';
const NO_INTERPRETER =
  'The first line of the file names a program that is not in the image; name one that is, as in ["python3", "file"].';

function adviseOnDenied(why: string): string {
  if (/Argument list too long|longer than/.test(why))
    return 'Linux passes at most 128 KiB in one argument, and about 2 MiB in all with the variables: send it by "stdin", or in a file.';
  if (/Is a directory/.test(why)) return 'It is a folder: name a program in it, or give the folder as "cwd".';
  if (/format|binary/i.test(why))
    return 'It is no program for this machine, and has no first line such as #!/bin/sh: run it with its interpreter, as in: python3 file.py.';
  return 'Make it executable with chmod +x, or run it with its interpreter, as in: bash file.sh, python3 file.py.';
}

function withHint(error: CommandError, hint: string | undefined): CommandError {
  return hint === undefined ? error : { ...error, hint };
}

function lastOf(text: string, pattern: RegExp): RegExpExecArray | undefined {
  return [...text.matchAll(pattern)].at(-1);
}

/** What programs write on stderr when the kernel refuses something, and the limit that stands behind it. */
const SAID_LIMITS: readonly (readonly [RegExp, string])[] = [
  [/\/dev\/shm[^\n]*No space left on device/, 'shm'],
  [/\/tmp\b[^\n]*No space left on device/, 'tmp'],
  [/No space left on device|Disk quota exceeded/, 'disk'],
  [/(?:fork|pthread_create|clone)[^\n]*Resource temporarily unavailable|Cannot fork|can't start new thread/i, 'pids'],
  [/Cannot allocate memory|MemoryError|\bOut of memory\b/, 'memory'],
  [/Too many open files/, 'open_files'],
  [/File too large|File size limit exceeded/, 'file_size'],
  [
    /Could not resolve host|Temporary failure in name resolution|Name or service not known|Network is unreachable/,
    'network',
  ],
];

/** Returns the name of the limit that a failed command has met, by what it wrote on stderr, which is not trusted. */
export function limitSaid(stderr: string): string | undefined {
  const said = stderr.slice(-LAST_CHARACTERS);
  return SAID_LIMITS.find(([pattern]) => pattern.test(said))?.[1];
}
