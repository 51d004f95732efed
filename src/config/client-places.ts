import { homedir } from 'node:os';
import { join } from 'node:path';

/** Variable of a client's environment with its key, as of the setting `key`. */
export const KEY_VARIABLE = 'GLOVEBOX_KEY';

/** Folders in which MCP clients keep their configuration, by the conventions of the platform. */
export interface ClientPlaces {
  readonly platform: NodeJS.Platform;
  readonly home: string;
  /** Folder of the configuration of desktop applications, such as `~/Library/Application Support`. */
  readonly applications: string;
  /** `XDG_CONFIG_HOME`, or `~/.config`. */
  readonly xdg: string;
  /** `CODEX_HOME`, if it is set. */
  readonly codex?: string;
  /** `CLAUDE_CONFIG_DIR`, if it is set. */
  readonly claude?: string;
}

/** Reads them. */
export function readClientPlaces(env: NodeJS.ProcessEnv = process.env, platform = process.platform): ClientPlaces {
  const home = env['HOME'] || env['USERPROFILE'] || homedir();
  const xdg = env['XDG_CONFIG_HOME'] || join(home, '.config');
  const codex = env['CODEX_HOME'];
  const claude = env['CLAUDE_CONFIG_DIR'];
  return {
    platform,
    home,
    xdg,
    applications: applicationsOf(platform, home, env['APPDATA']) ?? xdg,
    ...(codex ? { codex } : {}),
    ...(claude ? { claude } : {}),
  };
}

function applicationsOf(platform: NodeJS.Platform, home: string, appData: string | undefined): string | undefined {
  if (platform === 'darwin') return join(home, 'Library', 'Application Support');
  return platform === 'win32' ? appData || join(home, 'AppData', 'Roaming') : undefined;
}
