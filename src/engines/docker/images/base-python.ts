import { GloveboxError } from '../../../errors.ts';

/** The Pythons that `packages.Dockerfile` lets pass: for these there are wheels of all packages. */
export const PYTHON_VERSIONS = '3.12 to 3.15';

/** The refusal of a base whose Python will not do, if that is what ended a build with this output. */
export function explainUnfitBase(base: string, output: string): GloveboxError | undefined {
  const [, reason] = /^UNFIT: (has [\w .+]{1,60})$/m.exec(output) ?? [];
  if (reason === undefined) return undefined;
  return new GloveboxError(
    'engine_unavailable',
    `The base image ${base} ${reason}; the sandbox image is built on Python ${PYTHON_VERSIONS}, with pip.`,
    { hint: 'Name another base: GLOVEBOX_BASE=registry.example/python:3.13-slim. Nothing was downloaded.' },
  );
}
