import { z } from 'zod';
import { about, text, whole } from './value-types.ts';

export const audit = {
  audit_log: about(
    text.optional(),
    'File of the audit log. Each server has one of its own.',
    '/var/log/glovebox/audit.jsonl',
    'there is no audit log',
  ),
  audit_log_mb: about(
    whole(1, 1_048_576).default(100),
    'Size in MiB from which the audit log begins a new file.',
    '20',
  ),
  audit_log_files: about(whole(1, 10_000).default(10), 'Earlier files of the audit log that are kept.', '365'),
  audit_log_key_file: about(
    text.optional(),
    'File of a key, at least 32 bytes, for the hashes of the audit log, so that nobody without it can make valid lines.',
    '/etc/glovebox/audit.key',
    'hashes without a key',
  ),
  audit_log_required: about(
    z.enum(['yes', 'no']).default('no'),
    'Whether calls are refused while the audit log cannot be written.',
    'yes',
  ),
};
