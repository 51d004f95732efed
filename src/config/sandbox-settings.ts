import { z } from 'zod';
import { PROTECTIONS } from '../sandbox/assurances.ts';
import { sharedCache } from './archive-settings.ts';
import { about, list, number, preload, protections, requirements, seconds, text, whole } from './value-types.ts';

const DAY_S = 86_400;
const YEAR_S = 365 * DAY_S;

export const sandbox = {
  engine: about(
    z.enum(['docker', 'kubernetes']).default('docker'),
    'What runs the sandboxes: "docker" is Docker or what is like it, such as Podman; "kubernetes" makes pods in a cluster.',
    'kubernetes',
  ),
  image: about(
    text.default('data'),
    'Sandbox image: "slim" (Python, IPython, uv), "data" (also numpy, pandas, matplotlib and more), or the reference of an image built from sandbox-image/. In Kubernetes, the reference of one that "glovebox image --kubernetes" built.',
    'slim',
  ),
  memory_mb: about(whole(64, 1_048_576).default(1024), 'Memory of one sandbox in MiB. Its files count.', '2048'),
  cpus: about(number.min(0.01).max(1024).default(1), 'Processors of one sandbox.', '0.5'),
  pids: about(whole(16, 32_768).default(128), 'Processes and threads of one sandbox.', '256'),
  disk_mb: about(
    whole(1, 1_048_576).optional(),
    'Size of the workspace of one session in MiB.',
    '256',
    '512, or half of memory_mb if that is less',
  ),
  preload: about(
    preload.default('adaptive'),
    'Modules of the image that are loaded before code starts: their names, "none", or "adaptive" (what the session imported before).',
    'pandas,matplotlib.pyplot',
  ),
  preload_mb: about(
    whole(0, 1_048_576).default(512),
    'Memory in MiB that sandboxes together may spend on what other sessions used of late and their own has not used yet: modules with preload "adaptive", and the interpreter of a context. 0 loads only what the session itself imported.',
    '256',
  ),
  pool_size: about(whole(0, 1000).default(2), 'Sandboxes kept ready for new sessions.', '5'),
  pool_max: about(
    whole(0, 1000).optional(),
    'Largest pool. It grows with recent demand up to this size.',
    '20',
    'pool_size',
  ),
  runtime: about(
    text.optional(),
    'OCI runtime of the engine that runs sandboxes. In Kubernetes, a RuntimeClass.',
    'runsc',
    "the engine's own default",
  ),
  allow_missing: about(
    protections.default([]),
    `Protections of a sandbox that the engine may lack: ${PROTECTIONS.join(', ')}. The server starts only if all others hold.`,
    'pids,inodes',
  ),
  setup: about(
    z.enum(['auto', 'never']).default('auto'),
    'Whether Glovebox may install a missing engine, or tools that build the base image.',
    'never',
  ),
  base: about(
    text.default('python:3.13-slim'),
    'Image that the sandbox image is built from. It needs Python 3.12 to 3.15 with pip.',
    'registry.example/python:3.13',
  ),
  control_base: about(
    text.default('node:24-slim'),
    'Image that the image of the control plane is built from.',
    'registry.example/node:24',
  ),
};

export const executions = {
  exec_timeout_s: about(seconds(DAY_S).default(30), 'Time limit in seconds of an execution that asks for none.', '60'),
  install_timeout_s: about(
    seconds(DAY_S).default(60),
    'Time limit in seconds of an installation that asks for none.',
    '120',
  ),
  max_timeout_s: about(
    seconds(7 * DAY_S).default(3600),
    'Highest time limit in seconds that a call may ask for.',
    '600',
  ),
  concurrency: about(whole(1, 64).default(4), 'Executions that may run at once in one session.', '8'),
  terminals: about(whole(0, 64).default(4), 'Terminals that may be open at once in one session. 0 allows none.', '8'),
  terminal_idle_s: about(
    seconds(YEAR_S).default(3600),
    'Seconds after which a terminal ends that nobody looks at.',
    '600',
  ),
  output_limit: about(
    whole(1024, 16_777_216).default(65_536),
    'Bytes of stdout, and of stderr, that a result carries.',
    '131072',
  ),
  output_keep_limit: about(
    whole(0, 1_073_741_824).default(33_554_432),
    'Bytes of each longer stream that are kept in a file of the session, at most an eighth of its disk.',
    '1048576',
  ),
  result_limit: about(
    whole(1024, 16_777_216).default(1_048_576),
    'Bytes of one rich result, such as a plot. One execution may have four times as many in all.',
    '4194304',
  ),
  code_limit: about(
    whole(1024, 67_108_864).default(1_048_576),
    'Bytes of code, of stdin, and of a file for write_file, that one call may send.',
    '4194304',
  ),
};

export const sessions = {
  default_session: about(
    z.enum(['new', 'owner']).optional(),
    'Session of a call that names none: a "new" one, or the one that all such calls of an "owner" share.',
    'owner',
    'depends on the protocol',
  ),
  hibernate_after_s: about(
    number.min(0).max(YEAR_S).default(300),
    'Seconds without use after which a session gives up its container and becomes an archive. 0, or idle_ttl_s or more, turns this off.',
    '600',
  ),
  idle_ttl_s: about(
    seconds(YEAR_S).default(1800),
    'Seconds without use after which a session is closed, or hibernated if it can be.',
    '3600',
  ),
  max_lifetime_s: about(
    whole(10, YEAR_S).default(DAY_S),
    'Seconds that a container may live. A session awake for longer is closed.',
    '43200',
  ),
  checkpoint_after_s: about(
    number.min(0).max(3600).default(5),
    'Seconds after an execution until its changed files are in a checkpoint, from which a lost container is restored. 0 makes no checkpoints.',
    '30',
  ),
  on_shutdown: about(
    z.enum(['remove', 'keep']).default('remove'),
    'Whether a server that stops removes its sessions or leaves them for the next start.',
    'keep',
  ),
  keep_while: about(
    text.optional(),
    'Name of a container on the same engine. With on_shutdown "keep", sessions are kept only if it runs at shutdown.',
    'glovebox-tether',
    'kept in any case',
  ),
};

export const packages = {
  index_url: about(
    list.optional(),
    'Package indexes: URLs, file:// URLs or folders. The first one that has a project is used.',
    'https://pypi.example/simple',
    'what pip on this machine uses',
  ),
  packages_allow: about(
    requirements.default([]),
    'Packages that may be installed, as "name" or "name>=1.2". An empty list allows all.',
    'requests,numpy>=2',
  ),
  packages_deny: about(
    requirements.default([]),
    'Packages that may not be installed, as "name" or "name<2".',
    'pycrypto,numpy<2',
  ),
  packages_sdists: about(
    z.enum(['allow', 'deny']).default('deny'),
    'Whether source packages may be built. Their build code then runs in the sandbox.',
    'allow',
  ),
  cache_dir: about(
    text.optional(),
    'Folder of downloaded packages, shared by all sessions.',
    '/var/cache/glovebox',
    'glovebox/packages in the XDG cache directory',
  ),
  cache_mb: about(whole(1, 1_048_576).default(4096), 'Size of cache_dir in MiB.', '10240'),
  ...sharedCache,
};
