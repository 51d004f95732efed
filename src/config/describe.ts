import { z } from 'zod';
import { SUBJECTS, settings } from './settings.ts';
import { aboutOf } from './value-types.ts';

/** Prefix of environment variables. */
export const PREFIX = 'GLOVEBOX_';

export interface SettingDescription {
  /** Name in the configuration file. */
  readonly name: string;
  readonly variable: string;
  readonly flag: string;
  /** Type, such as `whole number` or `list`. */
  readonly type: string;
  /** Allowed values, such as `1 to 64` or `auto|never`. Empty if any text is allowed. */
  readonly allowed: string;
  /** Default value. Empty if there is none, or the program computes it. */
  readonly default: string;
  /** Description of the default, if the program computes it. */
  readonly computedDefault: string;
  readonly meaning: string;
  readonly example: string;
}

export interface SubjectDescription {
  readonly subject: string;
  readonly settings: readonly SettingDescription[];
}

/** Describes all settings, grouped by subject. */
export function describeSubjects(): SubjectDescription[] {
  return Object.entries(SUBJECTS).map(([subject, shape]) => ({
    subject,
    settings: Object.entries(shape).map(([name, schema]) => describeSetting(name, schema)),
  }));
}

/** Describes all settings, in the order of their subjects. */
export function describeSettings(): SettingDescription[] {
  return describeSubjects().flatMap((subject) => subject.settings);
}

/** Lists names, flags and meanings of all settings. Every start needs them; the other properties only help. */
export function describeFlags(): Pick<SettingDescription, 'name' | 'flag' | 'meaning'>[] {
  return Object.entries(settings.shape).map(([name, schema]) => ({
    name,
    flag: flagOf(name),
    meaning: aboutOf(schema).meaning,
  }));
}

/** Returns the variable of a setting: `GLOVEBOX_EXEC_TIMEOUT_S` for `exec_timeout_s`. */
export function variableOf(name: string): string {
  return PREFIX + name.toUpperCase();
}

/** Returns the flag of a setting: `--exec-timeout-s` for `exec_timeout_s`. */
export function flagOf(name: string): string {
  return `--${name.replaceAll('_', '-')}`;
}

/** Describes the allowed values of a setting, such as `1 to 64`. Empty if any text is allowed. */
export function describeAllowed(name: string): string {
  return Object.hasOwn(settings.shape, name) ? allowedBy(settings.shape[name as keyof typeof settings.shape]) : '';
}

function describeSetting(name: string, schema: z.ZodType): SettingDescription {
  const { meaning, example, byDefault = '' } = aboutOf(schema);
  const value: unknown = schema.safeParse(undefined).data;
  return {
    name,
    variable: variableOf(name),
    flag: flagOf(name),
    type: typeOf(schema),
    allowed: allowedBy(schema),
    default: value === undefined ? '' : String(value),
    computedDefault: byDefault,
    meaning,
    example,
  };
}

function typeOf(schema: z.ZodType): string {
  const { type, enum: words } = toJsonSchema(schema);
  if (words) return 'word';
  if (type === 'integer') return 'whole number';
  if (type === 'number') return 'number';
  // A transform, which JSON Schema has no type for, makes lists.
  return type === 'string' ? 'text' : 'list';
}

function allowedBy(schema: z.ZodType): string {
  const { enum: words, minimum, exclusiveMinimum, maximum } = toJsonSchema(schema);
  if (words) return words.join('|');
  if (exclusiveMinimum !== undefined) return `above ${exclusiveMinimum}, to ${maximum}`;
  return minimum === undefined ? '' : `${minimum} to ${maximum}`;
}

function toJsonSchema(schema: z.ZodType): z.core.JSONSchema.JSONSchema {
  return z.toJSONSchema(schema, { unrepresentable: 'any' });
}
