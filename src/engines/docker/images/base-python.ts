import { GloveboxError } from '../../../errors.ts';

/** Python versions that `packages.Dockerfile` accepts. All packages have wheels for them. */
export const PYTHON_VERSIONS = '3.12 to 3.15';

/** The error for a base image with an unsuitable Python, if the build ended for this reason. Undefined otherwise. */
export function explainUnsuitableBase(base: string, output: string): GloveboxError | undefined {
  const [, reason] = /^UNFIT: (has [\w .+]{1,60})$/m.exec(output) ?? [];
  if (reason === undefined) return undefined;
  return new GloveboxError(
    'engine_unavailable',
    `The base image ${base} ${reason}, but the sandbox image needs Python ${PYTHON_VERSIONS} with pip.`,
    { hint: 'Set another base image: GLOVEBOX_BASE=registry.example/python:3.13-slim. No packages were downloaded.' },
  );
}
