import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import { type Config, camelCase, completeConfig, type Origin } from './config.ts';
import { describeAllowed, flagOf, PREFIX, variableOf } from './describe.ts';
import { type Settings, settings } from './settings.ts';

export type { Config } from './config.ts';

/** Variable with the path of the configuration file. Read before the settings. */
const FILE_VARIABLE = 'GLOVEBOX_CONFIG';

/**
 * Loads settings from the environment, the file named by `GLOVEBOX_CONFIG` or `--config`, and flags. Later ones win.
 * @throws GloveboxError `invalid_input` that names the setting, where it was set, and the nearest valid name.
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env, flags: Readonly<Record<string, string>> = {}): Config {
  const fromFlags = new Map<string, unknown>(Object.entries(flags));
  const file = flags['config'] ?? env[FILE_VARIABLE];
  fromFlags.delete('config');
  const sources: [string, Map<string, unknown>][] = [
    ['environment', readEnvironment(env)],
    ...(file ? ([['file', readFile(file)]] as [string, Map<string, unknown>][]) : []),
    ['flags', fromFlags],
  ];
  const values: Record<string, unknown> = {};
  const spelled = new Map<string, string>();
  for (const [source, entries] of sources) {
    for (const [name, value] of entries) {
      const written = spell(source, name);
      if (!isSetting(name)) throw unknownSetting(source, name, written);
      values[name] = value;
      spelled.set(name, written);
    }
  }
  return check(values, { spelled, style: variableOf, env });
}

/**
 * Reads settings from an object with names in camelCase, for the library. Settings in the environment are ignored.
 * @param others names of options that are not settings, for suggestions on misspelled names
 * @throws GloveboxError `invalid_input` that names the option and the nearest valid name
 */
export function loadOptions(
  options: Readonly<Record<string, unknown>>,
  others: readonly string[] = [],
  env: NodeJS.ProcessEnv = process.env,
): Config {
  const names = new Map(Object.keys(settings.shape).map((name) => [camelCase(name), name]));
  const values: Record<string, unknown> = {};
  const spelled = new Map<string, string>();
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const name = names.get(option);
    if (name === undefined) throw unknownOption(option, [...names.keys(), ...others]);
    values[name] = value;
    spelled.set(name, option);
  }
  return check(values, { spelled, style: camelCase, env });
}

function unknownOption(option: string, known: readonly string[]): GloveboxError {
  const near = nearest(option, known);
  return new GloveboxError('invalid_input', `${JSON.stringify(option)} is not an option.`, {
    hint: near
      ? `Did you mean ${JSON.stringify(near)}?`
      : 'docs/settings.md lists all, with "_" where the library has a capital letter.',
  });
}

function check(values: Record<string, unknown>, origin: Origin): Config {
  const { spelled } = origin;
  for (const [name, value] of Object.entries(values)) {
    // Text is converted to numbers. Any other type would be converted to an unintended number.
    if (['string', 'number'].includes(typeof value) || Array.isArray(value)) continue;
    throw new GloveboxError(
      'invalid_input',
      `${spelled.get(name)} is ${JSON.stringify(value)}: no text, number or list.`,
      {
        hint: 'Correct it, or leave it out for the default.',
      },
    );
  }
  const parsed = settings.safeParse(values);
  if (!parsed.success) throw invalidSetting(parsed.error, values, spelled);
  return completeConfig(parsed.data, origin);
}

function readEnvironment(env: NodeJS.ProcessEnv): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith(PREFIX) || variable === FILE_VARIABLE || !value) continue;
    found.set(variable.slice(PREFIX.length).toLowerCase(), value);
  }
  return found;
}

function readFile(path: string): Map<string, unknown> {
  const hint = 'Name a readable JSON file of settings such as {"port": 8000}.';
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new GloveboxError('invalid_input', `The configuration file ${path} cannot be read as JSON.`, { hint, cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new GloveboxError('invalid_input', `The configuration file ${path} holds no object.`, { hint });
  }
  return new Map(Object.entries(parsed));
}

function spell(source: string, name: string): string {
  if (source === 'environment') return variableOf(name);
  return source === 'flags' ? flagOf(name) : `"${name}" in the configuration file`;
}

function isSetting(name: string): boolean {
  return Object.hasOwn(settings.shape, name);
}

function unknownSetting(source: string, name: string, written: string): GloveboxError {
  const near = nearest(name, Object.keys(settings.shape));
  return new GloveboxError('invalid_input', `${written} is not a setting.`, {
    hint: near ? `Did you mean ${spell(source, near)}?` : 'See glovebox --help for all settings.',
  });
}

function invalidSetting(
  error: z.ZodError,
  values: Record<string, unknown>,
  spelled: ReadonlyMap<string, string>,
): GloveboxError {
  const issue = error.issues[0];
  const name = String(issue?.path[0] ?? '');
  const written = spelled.get(name) ?? variableOf(name);
  return new GloveboxError(
    'invalid_input',
    `${written} is ${shown(name, values[name])}: ${describeProblem(name, issue)}.`,
    {
      hint: `${settings.shape[name as keyof Settings]?.description ?? ''} Correct it, or leave it out for the default.`.trim(),
    },
  );
}

/** Settings whose values are not shown. Addresses of webhooks often have a secret in them. */
const SECRETS: ReadonlySet<string> = new Set(['key', 'approval_webhook', 'approval_webhook_secret']);

/** A value for a message, without a secret in it. */
function shown(name: string, value: unknown): string {
  if (SECRETS.has(name)) return 'not valid';
  return name === 'url' ? JSON.stringify(value).replace(/\/\/[^/]*@/, '//…@') : JSON.stringify(value);
}

/** Describes why a value is not valid. For a number outside its range, names the range. */
function describeProblem(name: string, issue: z.core.$ZodIssue | undefined): string {
  const allowed = describeAllowed(name);
  if (!allowed || issue === undefined) return issue?.message ?? 'not valid';
  if (issue.code === 'invalid_value') return `it must be ${allowed.replaceAll('|', ' or ')}`;
  if (issue.code !== 'invalid_type') return `it must be ${allowed}`;
  return 'format' in issue ? `it must be a whole number, ${allowed}` : `${issue.message}; it must be ${allowed}`;
}
