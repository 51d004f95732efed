import type { Command } from 'commander';
import type { VerifyLogOptions } from './audit.ts';
import { configOf } from './settings-options.ts';

const DESCRIPTION = `Check the audit log that a server with GLOVEBOX_AUDIT_LOG writes.

  glovebox audit verify                              the log of GLOVEBOX_AUDIT_LOG, with its earlier files
  glovebox audit verify audit.jsonl.2 audit.jsonl.1  these files, the oldest first
  glovebox audit verify --holds HASH                 also that it has the line of this hash

It says the first place where the log is not as it was written, and then ends with status 1. With
GLOVEBOX_AUDIT_LOG_KEY_FILE, hashes are checked with that key.`;

/** Adds `glovebox audit` with its commands. */
export function addAudit(program: Command, group: string): void {
  const audit = program
    .command('audit')
    .helpGroup(group)
    .summary('Check the audit log.')
    .description(DESCRIPTION)
    .helpCommand(false);
  audit
    .command('verify')
    .description('Say whether all lines of the audit log are there, and as they were written.')
    .argument('[files...]')
    .option('--holds <hash>', 'Hash of a line that must be there, such as the last one that was said before.')
    .action(async (files: string[], options: VerifyLogOptions, command: Command) =>
      (await import('./audit.ts')).verifyLog(configOf(command), files, options),
    );
}
