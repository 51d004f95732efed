import { about, list, number, whole } from './value-types.ts';

const HOUR_S = 3600;

export const egress = {
  egress: about(
    list.default([]),
    'Hosts that code may reach over HTTP, HTTPS and WebSockets: "none", or names, *.names and addresses, each with a port if not 80 and 443.',
    'api.example.com,*.example.org,git.example.net:8443',
    'none',
  ),
  egress_private: about(
    list.default([]),
    'Private addresses and networks that these hosts may have. All others that are not public are refused.',
    '10.1.0.0/16,192.168.1.5',
    'none',
  ),
  egress_mb: about(
    whole(1, 1_048_576).default(1024),
    'MiB that one execution may send to hosts, and as much that it may receive.',
    '100',
  ),
  egress_connections: about(
    whole(1, 64).default(64),
    'Connections to hosts that one execution may have at once.',
    '16',
  ),
  egress_connections_per_owner: about(
    whole(1, 100_000).default(256),
    'Connections to hosts that all executions of one owner may have at once.',
    '64',
  ),
  egress_idle_s: about(
    number.min(1).max(HOUR_S).default(60),
    'Seconds after which a connection to a host is cut on which no byte moves.',
    '300',
  ),
};
