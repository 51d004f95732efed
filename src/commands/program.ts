import { Command } from 'commander';
import type { Config } from '../config/load.ts';
import { addAudit } from './audit-command.ts';
import type { CommandContext } from './context.ts';
import { helpFormatter } from './help.ts';
import type { KeyOptions } from './key.ts';
import type { McpConfigOptions } from './mcp-config.ts';
import { addPeopleCommands, addUninstall } from './people-commands.ts';
import { addSecret } from './secret-command.ts';
import { addSettings, configOf, settingsOf } from './settings-options.ts';
import { refuseExtra } from './usage-error.ts';

const GROUP = 'Serve and set up:';

/**
 * Assembles the commands. The code of a command is loaded when it runs, so that starts are fast.
 * @param words the command line: with `--all`, help lists every setting
 */
export function createProgram(version: string, context: CommandContext, words: readonly string[]): Command {
  const program = new Command('glovebox')
    .version(version, '--version', 'Print the version.')
    .helpOption('-h, --help', 'Print the help of glovebox, or of the command.')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .configureHelp({ formatHelp: helpFormatter(words.includes('--all')) })
    .enablePositionalOptions()
    .showSuggestionAfterError(false);
  addPeopleCommands(program, context);
  const add = (name: string, description: string) => program.command(name).description(description).helpGroup(GROUP);

  add('serve', 'Serve REST and MCP over HTTP.').action(
    withConfig(async (config) => (await import('./serve.ts')).runServe(config, context)),
  );
  // Over stdio there are no keys, so one owner may have all places.
  add('stdio', 'Serve MCP on stdin and stdout, for its client.').action(
    withConfig(async (config) => (await import('./stdio.ts')).runStdio(config, context), { auth: 'none' }),
  );
  add('image', 'Build the sandbox image, if it is missing.')
    .option(CONTROL_PLANE, 'Build all images that compose.yaml needs, and write .env for this machine.')
    .option(SECCOMP, 'Print the filter of system calls, as a file for the nodes of a Kubernetes cluster.')
    .option(KUBERNETES, 'Build the sandbox image for the nodes of a cluster, which pull it from a registry.')
    .option('--tag <reference>', 'Name that image so that it can be pushed.')
    .action(
      withConfig(async (config, { controlPlane, seccomp, kubernetes, tag }) => {
        if (controlPlane) return (await import('./prepare-compose.ts')).prepareCompose(config, context);
        const image = await import('./image.ts');
        if (seccomp) return image.printSeccompProfile();
        return kubernetes ? image.runClusterImage(config, tag, context) : image.runImage(config, context);
      }),
    );
  addKey(program, context);
  addSecret(program, context, GROUP);
  addAudit(program, GROUP);
  addMcpConfig(program, context);
  add('doctor', 'Check the engine, image, package index and settings.').action(
    withConfig(async (config) => (await import('./doctor.ts')).runDoctor(config)),
  );
  add('socket-proxy', "Proxy the engine's socket for a server in a container.").action(
    withConfig(async (config) => (await import('./socket-proxy.ts')).runSocketProxy(config, context)),
  );
  addUninstall(program, context, GROUP);
  program.commands.forEach((command) => void command.allowExcessArguments());
  // Only the chosen command gets its settings. Creating them for all would cost each start some milliseconds.
  for (const parent of [program, ...program.commands])
    parent.hook('preSubcommand', (_parent, chosen) => void addSettings(chosen));
  return program.hook('preAction', (_program, { args, registeredArguments }) => {
    if (!registeredArguments.at(-1)?.variadic) refuseExtra(args.slice(registeredArguments.length));
  });
}

const CONTROL_PLANE = '--control-plane';
const SECCOMP = '--seccomp';
const KUBERNETES = '--kubernetes';

/** What `glovebox image` is asked for beside the sandbox image. */
interface ImageCommandOptions {
  readonly controlPlane?: boolean;
  readonly seccomp?: boolean;
  readonly kubernetes?: boolean;
  readonly tag?: string;
}

/** Creates an action that gets the settings of its command. @param defaults values for flags that are not given */
function withConfig(
  run: (config: Config, options: ImageCommandOptions) => Promise<void>,
  defaults: Readonly<Record<string, string>> = {},
) {
  return async (options: ImageCommandOptions, command: Command) => {
    await run(configOf(command, defaults), options);
  };
}

/** Adds `glovebox key` with its commands. */
function addKey(program: Command, { say }: CommandContext): void {
  const key = program
    .command('key')
    .helpGroup(GROUP)
    .summary('Make, list and revoke keys of callers.')
    .description(KEY_DESCRIPTION)
    .helpCommand(false);
  const add = (name: string, description: string) => key.command(name).description(description);
  add('new', 'Make a key for an owner and print it once. It is stored nowhere. Keys made before stay valid.')
    .argument('<name>')
    .option('--expires-days <days>', 'Days until the key expires. Without it the key does not expire.')
    .option('--may <right>', '"approve": the key answers whether code may call a tool, and runs none. Default: "run".')
    .option(
      '--web <patterns...>',
      'Hosts that its code may reach, of those in GLOVEBOX_EGRESS; "none" for none. Default: all.',
    )
    .option('--for <owner>', "Whose questions it answers, with --may approve. Default: everybody's.")
    .action(async (name: string, options: KeyOptions, command: Command) =>
      (await import('./key.ts')).makeKey(configOf(command), name, options, say),
    );
  add('list', 'List all keys: id, name, when they were made, what they may do, when they expire.').action(
    withConfig(async (config) => (await import('./key.ts')).listKeys(config, say)),
  );
  add('revoke', 'Take away one key, or all keys of an owner. A running server refuses them within a second.')
    .argument('<name|id>')
    .action(async (nameOrId: string, _options, command: Command) =>
      (await import('./key.ts')).revoke(configOf(command), nameOrId, say),
    );
}

/** Adds `glovebox mcp-config`. */
function addMcpConfig(program: Command, { say }: CommandContext): void {
  program
    .command('mcp-config')
    .helpGroup(GROUP)
    .summary('Print or write the configuration of an MCP client.')
    .description(MCP_CONFIG_DESCRIPTION)
    .argument('[client]')
    .option('--write', "Merge it into the client's file. A copy of the file as it was stays beside it.")
    .option('--force', 'Replace another entry of that name.')
    .option('--http [address]', 'Connect to a running server, instead of starting one for the client.')
    .option('--project', 'Take the file of the project in this folder, not the one for all of your work.')
    .option('--file <file>', 'Take this file.')
    .option('--name <name>', 'Name of the entry.', 'glovebox')
    .action(async (client: string | undefined, options: McpConfigOptions, command: Command) =>
      (await import('./mcp-config.ts')).runMcpConfig(client, options, {
        ...{ config: configOf(command), given: settingsOf(command), say },
      }),
    );
}

const MCP_CONFIG_DESCRIPTION = `Print or write the configuration of an MCP client, with all paths filled in.

  glovebox mcp-config                        list the clients, each with its file
  glovebox mcp-config cursor                 print what belongs into its file
  glovebox mcp-config cursor --write         put it there; nothing else in the file is changed
  glovebox mcp-config codex --http --write   connect to a server that runs on this machine

Settings that are given go to the server that the client starts: glovebox mcp-config cursor --image slim`;

const KEY_SUMMARY = 'Make, list and revoke the keys that GLOVEBOX_AUTH=keys asks callers for.';
const KEY_DESCRIPTION = `${KEY_SUMMARY}

  glovebox key new alice --expires-days 30
  glovebox key new carol --web api.example.com '*.example.org:8443'
  glovebox key new bob --may approve --for alice
  glovebox key list
  glovebox key revoke alice

The name of a key is the owner of the sessions that are made with it. Owners see nothing of each other.
Callers send a key as "Authorization: Bearer KEY" or "X-API-Key: KEY" to a server with GLOVEBOX_AUTH=keys.
A key with --may approve answers whether code may call a tool. It is also asked for where no other key is.
If the keys are not in the usual place, name it: --api-keys-file FILE, or --state-dir DIR.`;
