import { constants } from 'node:crypto';

/**
 * Both ends have a key in common, and nobody has a certificate. With this suite of TLS 1.2 none can take its place; in
 * TLS 1.3 suites do not say how an end proves who it is.
 */
export const PEER_TLS = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  // A resumed session would not ask for the key again.
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const;
