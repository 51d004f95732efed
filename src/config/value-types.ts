import { z } from 'zod';
import { PROTECTIONS, type Protection } from '../sandbox/assurances.ts';

/** Highest port number of TCP. */
export const HIGHEST_PORT = 65_535;

/** Documentation of a setting, in addition to its type, range and literal default. */
interface About {
  /** Description: one plain sentence, with the unit. */
  readonly meaning: string;
  /** Example value, as written in the environment or after a flag. */
  readonly example: string;
  /** Description of the default, if the program computes it. */
  readonly byDefault?: string;
}

/** Attaches the documentation for the help and `docs/settings.md` to a schema. */
export function about<S extends z.ZodType>(schema: S, meaning: string, example: string, byDefault?: string): S {
  const facts: About = { meaning, example, ...(byDefault === undefined ? {} : { byDefault }) };
  return schema.meta({ description: meaning, about: facts });
}

/** Reads the documentation attached by {@link about}. */
export function aboutOf(schema: z.ZodType): About {
  return (schema.meta()?.['about'] as About | undefined) ?? { meaning: '', example: '' };
}

/** Number, given as text or number. The unit is in the setting's name. */
export const number = z.coerce.number({
  error: ({ code }) => (code === 'invalid_type' ? 'this is not a number' : undefined),
});

/** Whole number within a range. */
export const whole = (least: number, most: number) => number.int().min(least).max(most);

/** Time in seconds, above 0. */
export const seconds = (most: number) => number.positive().max(most);

/** Text that is not empty. */
export const text = z.string().min(1);

/** Items separated by commas, or a list of them. */
export const list = z
  .union([z.string(), z.array(z.string())])
  .transform((value) =>
    (typeof value === 'string' ? value.split(',') : value).map((item) => item.trim()).filter(Boolean),
  );

/** Package names with specifiers. A comma within `name>=2,<3` is not a separator. */
export const requirements = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (typeof value === 'string' ? value.split(/,(?=\s*[A-Za-z0-9])/) : value))
  .transform((items) => items.map((item) => item.trim()).filter(Boolean));

const isPort = (port: number) => Number.isInteger(port) && port >= 1 && port <= HIGHEST_PORT;

/** Port numbers separated by commas, or a list of them. */
export const ports = z
  .union([z.string(), z.number(), z.array(z.union([z.string(), z.number()]))])
  .transform((value) =>
    Array.isArray(value)
      ? value
      : String(value)
          .split(',')
          .filter((item) => item.trim() !== ''),
  )
  .transform((items) => items.map(Number))
  .refine((numbers) => numbers.every(isPort), {
    message: `not numbers from 1 to ${HIGHEST_PORT}, separated by commas`,
  });

/** Dotted names of Python modules, or one of two words that stand alone. */
export const preload = list
  .refine((names) => names.every((name) => /^[A-Za-z_]\w{0,99}(\.[A-Za-z_]\w{0,99})*$/.test(name)), {
    message: 'not "adaptive", "none" or names of modules such as pandas,matplotlib.pyplot',
  })
  .refine((names) => names.length <= 100, { message: 'more than 100 names' })
  .refine((names) => names.length === 1 || !names.some((name) => name === 'adaptive' || name === 'none'), {
    message: '"adaptive" and "none" stand alone',
  })
  .transform((names) => {
    const [first] = names;
    return first === 'adaptive' || first === 'none' ? first : first === undefined ? 'none' : names;
  });

const isProtection = (name: string): name is Protection => PROTECTIONS.some((known) => known === name);

/** Names of protections of a sandbox. */
export const protections = list
  .refine((names) => names.every(isProtection), { message: `not among ${PROTECTIONS.join(', ')}` })
  .transform((names) => names.filter(isProtection));
