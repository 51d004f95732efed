import { GloveboxError } from '../../errors.ts';
import { isMarker } from './marker.ts';
import { isProjectName, normalizeName } from './names.ts';
import { parseSpecifiers, quote, type Specifier } from './specifiers.ts';

/** A requirement: a package by name (PEP 508). */
export interface Requirement {
  /** The whole requirement in canonical form, safe as one argument of an installer. */
  readonly text: string;
  /** Name as it was written. */
  readonly name: string;
  /** Normalised name (PEP 503). */
  readonly project: string;
  readonly extras: readonly string[];
  readonly specifiers: readonly Specifier[];
  /** The text after `;`, a valid marker expression. */
  readonly marker?: string;
}

/** Characters of a requirement at most. */
const LONGEST = 1000;
const HINT = 'Write a package as its name, extras and versions: "requests", "pandas[excel]>=2,<3".';

/** Patterns of texts that are not requirements, with their messages. The first that matches is used. */
const REFUSALS: readonly [RegExp, (text: string) => string][] = [
  [/^\s*$/, () => 'A package name is empty.'],
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  [/[\u0000-\u001f\u007f]/, (text) => `${text} holds a line break or control character.`],
  [/^-(?:r|-requirement)\b/, (text) => `${text} is a requirements file; list the packages themselves.`],
  [/^-/, (text) => `${text} is an option; options of the installer are not allowed.`],
  [
    /^(?:git|hg|svn|bzr)\+|@\s*(?:git|hg|svn|bzr)\+/i,
    (text) => `${text} is a version-control URL; only package names are allowed.`,
  ],
  [/^[a-z][a-z0-9+.-]*:\/\/|^file:/i, (text) => `${text} is a URL; only package names are allowed.`],
  [
    /^[^;]*@\s*(?:[a-z][a-z0-9+.-]*:|[./~])/i,
    (text) => `${text} points to a URL or path; only package names are allowed.`,
  ],
  [/^[a-z0-9._-]+\s*@/i, (text) => `${text} has an "@"; a version is written as "name==1.2".`],
  [/^(?:\.|\/|~|\\|[a-z]:[\\/])|^[^;'"[]*[\\/]/i, (text) => `${text} is a path; only package names are allowed.`],
  [/^[^;\s]+\.(?:whl|zip|tar\.gz|tgz|txt|toml)$/i, (text) => `${text} is a file; only package names are allowed.`],
  [
    /^[^;]*[|&`$#]|^[^;<>=!~]*\s(?:&&|install)\b/,
    (text) => `${text} is a shell command; give one package in each item.`,
  ],
];

/**
 * Reads one requirement (PEP 508). URLs, paths, options and shell commands are refused.
 * @throws GloveboxError `invalid_input` that says what the text is instead
 */
export function parseRequirement(text: string): Requirement {
  const quoted = JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}...` : text);
  if (text.length > LONGEST) throw refusal(`${quoted} is too long: a requirement has at most ${LONGEST} characters.`);
  const trimmed = text.trim();
  for (const [pattern, explain] of REFUSALS) {
    if (pattern.test(trimmed)) throw refusal(explain(quoted));
  }
  const semicolon = trimmed.indexOf(';');
  const before = semicolon < 0 ? trimmed : trimmed.slice(0, semicolon);
  const marker = semicolon < 0 ? undefined : trimmed.slice(semicolon + 1).trim();
  if (marker !== undefined && !isMarker(marker)) {
    throw refusal(`${quoted}: the text after ";" is not an environment marker, such as python_version < "3.13".`);
  }
  const match = /^(?<name>[a-z0-9._-]+)\s*(?:\[(?<extras>[^\]]*)\])?\s*(?<rest>.*)$/is.exec(before.trim());
  const { name = '', extras = '', rest = '' } = match?.groups ?? {};
  if (!isProjectName(name)) throw refusal(`${quoted} does not begin with a package name.`);
  return assemble({ name, extras: parseExtras(extras, quoted), rest, marker }, quoted);
}

function parseExtras(text: string, quoted: string): string[] {
  const extras = text.split(',').map((extra) => extra.trim());
  if (extras.length === 1 && extras[0] === '') return [];
  const wrong = extras.find((extra) => !isProjectName(extra));
  if (wrong !== undefined) throw refusal(`${quoted}: ${quote(wrong)} is not the name of an extra.`);
  return extras;
}

function assemble(
  parts: { name: string; extras: string[]; rest: string; marker: string | undefined },
  quoted: string,
): Requirement {
  const { name, extras, marker } = parts;
  // PEP 508 allows the versions in parentheses.
  const versions = /^\((.*)\)$/.exec(parts.rest.trim())?.[1] ?? parts.rest.trim();
  if (/^[a-z0-9]/i.test(versions)) {
    throw refusal(
      /^v?\d/i.test(versions)
        ? `${quoted} has no operator before the version; write ${quote(`${name}==${versions.split(/\s/)[0]}`)}.`
        : `${quoted} has more than one package; give each one as a separate item.`,
    );
  }
  const specifiers = parseSpecifiers(versions);
  if (typeof specifiers === 'string') throw refusal(`${quoted}: ${specifiers}`);
  const clauses = specifiers.map(({ operator, text, prefix }) => `${operator}${text}${prefix ? '.*' : ''}`).join(',');
  return {
    text: `${name}${extras.length > 0 ? `[${extras.join(',')}]` : ''}${clauses}${marker ? `; ${marker}` : ''}`,
    name,
    project: normalizeName(name),
    extras,
    specifiers,
    ...(marker ? { marker } : {}),
  };
}

function refusal(message: string): GloveboxError {
  return new GloveboxError('invalid_input', message, { hint: HINT });
}
