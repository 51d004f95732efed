import { z } from 'zod';
import { about, text, whole } from './value-types.ts';

/** Address that is posted to. Credentials in it would be refused when it is used. */
const postAddress = z
  .url({ protocol: /^https?$/, error: 'not an address that begins with https:// or http://' })
  .refine((url) => new URL(url).username === '', 'the address has a user in it');

export const tools = {
  tools: about(
    text.optional(),
    'File of MCP servers whose tools code may call: the "mcpServers" that MCP clients have, with more fields.',
    '/etc/glovebox/tools.json',
    'code calls no tools',
  ),
  tools_stdio: about(
    whole(0, 1).default(0),
    'Whether that file may name commands (1). They run beside the control plane, with its rights, and not in a sandbox.',
    '1',
  ),
  approval_webhook: about(
    postAddress.optional(),
    'Address that a server posts questions to that wait for a person. People answer with a key that may approve.',
    'https://hooks.example/glovebox',
    'nothing is sent',
  ),
  approval_webhook_secret: about(
    z.string().min(24, 'shorter than 24 characters').optional(),
    'Secret that signs what is posted to approval_webhook, as Standard Webhooks has it.',
    'a-long-random-text-of-your-own',
    'none; approval_webhook needs one',
  ),
};
