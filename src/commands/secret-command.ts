import type { Command } from 'commander';
import type { CommandContext } from './context.ts';
import { configOf } from './settings-options.ts';

const SUMMARY = 'Keep secrets for tools and hosts that code may use.';
const DESCRIPTION = `Keep the secrets that Glovebox sends in place of code. Code never sees them.

  glovebox secret set GITHUB --owner alice --for api.example.com < token-of-alice.txt
  glovebox secret set WEATHER --for weather.example --query api_key < key.txt
  glovebox secret list
  glovebox secret remove GITHUB --owner alice

A request of code to http://api.example.com goes out by TLS, with the secret. With --owner, only requests of that owner
get it. Without --for, a secret is for tools: the file of GLOVEBOX_TOOLS uses it as \${secret:GITHUB}, and a server in it
with "credentials": "owner" takes the secret of the owner whose code calls. Secrets are kept encrypted in the file
of GLOVEBOX_SECRETS_FILE, or secrets.json in the state directory. Their key is the file of GLOVEBOX_SECRETS_KEY_FILE,
or secrets.key beside them.`;

interface Options {
  readonly owner?: string;
}

interface SetOptions extends Options {
  readonly for?: string[];
  readonly header?: string[];
  readonly query?: string[];
  readonly basic?: string[];
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
  named('set', 'Store a secret, whose value is read from stdin, or replace its value.')
    .option(
      '--for <host>',
      'Host whose requests get it: HOST, HOST:PORT, or http://HOST for no TLS. May be repeated.',
      collect,
    )
    .option('--header <text>', "Header with it, 'Authorization: Bearer {}' by default. May be repeated.", collect)
    .option('--query <name>', 'Parameter of the address with it, in place of a header.', collect)
    .option('--basic <user>', 'User whose password it is, in place of a header.', collect)
    .action(async (name: string, { owner, ...asked }: SetOptions, command: Command) =>
      (await import('./secret.ts')).storeSecret(configOf(command), entryOf(name, owner), asked, say),
    );
  add('list', 'List the names of all secrets, whose they are, and which hosts get them.')
    .alias('ls')
    .action(async (_options, command: Command) => (await import('./secret.ts')).showSecrets(configOf(command), say));
  add('rekey', 'Change the key that encrypts the secrets. A running server goes on.').action(
    async (_options, command: Command) => (await import('./secret.ts')).rekeySecrets(configOf(command), say),
  );
  named('remove', 'Remove a secret. A running server stops using it at once.')
    .alias('rm')
    .action(async (name: string, { owner }: Options, command: Command) =>
      (await import('./secret.ts')).dropSecret(configOf(command), entryOf(name, owner), say),
    );
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

function entryOf(name: string, owner: string | undefined) {
  return owner === undefined ? { name } : { name, owner };
}
