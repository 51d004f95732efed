import type { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { configOf } from './settings-options.ts';

const SUMMARY = 'Keep secrets for tools that code may call.';
const DESCRIPTION = `Keep the secrets with which Glovebox calls tools of other servers. Code never sees them.

  glovebox secret set GITHUB < token.txt
  glovebox secret set GITHUB --owner alice < token-of-alice.txt
  glovebox secret list
  glovebox secret remove GITHUB --owner alice

The file of GLOVEBOX_TOOLS uses a secret as \${secret:GITHUB}. A server in it with "credentials": "owner" takes the
secret of the owner whose code calls, and never the shared one. Secrets are kept in secrets.json in the state directory.`;

interface Options {
  readonly owner?: string;
}

/** Adds `glovebox secret` with its commands. */
export function addSecret(program: Command, { say }: CommandContext, group: string): void {
  const secret = program
    .command('secret')
    .helpGroup(group)
    .summary(SUMMARY)
    .description(DESCRIPTION)
    .helpCommand(false);
  const add = (name: string, description: string) => secret.command(name).description(description);
  const named = (name: string, description: string) =>
    add(name, description)
      .argument('<name>')
      .option('--owner <name>', 'Name of the keys whose owner it belongs to. Without it, it is shared by all.');
  named('set', 'Store a secret, whose value is read from stdin, or replace it.').action(
    async (name: string, { owner }: Options, command: Command) =>
      (await import('./secret.ts')).storeSecret(configOf(command), entryOf(name, owner), say),
  );
  add('list', 'List the names of all secrets, and whose they are.').action(async (_options, command: Command) =>
    (await import('./secret.ts')).showSecrets(configOf(command), say),
  );
  named('remove', 'Remove a secret. A running server stops using it within a second.').action(
    async (name: string, { owner }: Options, command: Command) =>
      (await import('./secret.ts')).dropSecret(configOf(command), entryOf(name, owner), say),
  );
}

function entryOf(name: string, owner: string | undefined) {
  return owner === undefined ? { name } : { name, owner };
}
