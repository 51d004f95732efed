import { z } from 'zod';
import { about, HIGHEST_PORT, text, whole } from './value-types.ts';

/** Settings of several servers that serve the same sessions. */
export const group = {
  state: about(
    z.enum(['directory', 'cluster']).default('directory'),
    'Where it is kept who holds which session: in state_dir, for one server alone, or in the "cluster" of the sandboxes, for all servers of the same instance name.',
    'directory',
  ),
  lease_s: about(
    whole(5, 300).default(15),
    'Seconds without a sign of life after which other servers take over the sessions of one.',
    '30',
  ),
  peer_port: about(
    whole(0, HIGHEST_PORT).default(0),
    'Port where other servers of the same sessions reach this one. 0 takes a free one.',
    '8770',
  ),
  peer_address: about(
    text.default('127.0.0.1'),
    'Address where other servers of the same sessions reach this one.',
    '10.0.3.7',
  ),
};
