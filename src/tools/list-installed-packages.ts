import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import { parseSandboxJson } from '../lib/sandbox-json.ts';
import { identify, sessionIdInput, sessionLines, sessionOutput, tellReset } from './common-fields.ts';
import { leaseSession } from './lease-session.ts';
import type { Tool, ToolContext } from './tool.ts';

const LIMIT_MS = 10_000;
/** Some 50 000 packages. */
const MAX_LISTING = 4 * 1024 * 1024;

const packages = z.array(
  z.object({
    name: z.string(),
    version: z.string(),
    source: z.enum(['image', 'session']).describe('"image": in every session; "session": installed in this one.'),
  }),
);

const inputSchema = z.strictObject({ session_id: sessionIdInput });
const outputSchema = z.object({
  ...sessionOutput,
  packages,
});

type Input = z.infer<typeof inputSchema>;
type Output = z.infer<typeof outputSchema>;

export const listInstalledPackages: Tool<Input, Output> = {
  name: 'list_installed_packages',
  title: 'List Python packages',
  description:
    'List the Python packages that code in the sandbox can import, with their versions. The standard library is not listed.',
  effect: 'reads',
  input: inputSchema,
  output: outputSchema,
  handle: listPackages,
  summarize: (output) =>
    [
      ...output.packages.map(
        ({ name, version, source }) => `${name} ${version}${source === 'session' ? ' (session)' : ''}`,
      ),
      sessionLines(output),
    ].join('\n'),
};

async function listPackages(input: Input, context: ToolContext): Promise<Output> {
  using lease = await leaseSession(context, input.session_id);
  const chunks: Buffer[] = [];
  let bytes = 0;
  const end = await lease.session.execute(
    { kind: 'packages' },
    {
      timeoutMs: LIMIT_MS,
      signal: context.signal,
      onOutput: (stream, chunk) => {
        bytes += chunk.length;
        if (stream === 'stdout' && bytes <= MAX_LISTING) chunks.push(Buffer.from(chunk));
      },
    },
  );
  return {
    ...identify(lease),
    packages: parseListing(Buffer.concat(chunks)),
    ...tellReset(end),
  };
}

function parseListing(listing: Buffer): Output['packages'] {
  try {
    return packages.parse(parseSandboxJson(listing));
  } catch (cause) {
    throw new GloveboxError('sandbox_lost', 'The packages of this session could not be listed.', {
      hint: 'Something in the session disturbs its Python. Call again; if it stays so, continue in a new session.',
      cause,
    });
  }
}
