import { existsSync } from 'node:fs';
import { runCommand } from '../../../lib/run-command.ts';
import { type OsRelease, readOsRelease } from './os-release.ts';

/** Hint with the command that installs or starts an engine on this machine. */
export async function describeInstallation(platform: NodeJS.Platform = process.platform): Promise<string> {
  if (platform === 'darwin')
    return 'Install one with "brew install --cask docker" (or OrbStack, or colima), start it, and try again.';
  if (platform === 'win32') return 'Install one with "winget install Docker.DockerDesktop", start it, and try again.';
  if ((await runCommand('dockerd', ['--version'])).code === 0) {
    const start = existsSync('/run/systemd/system') ? 'systemctl start docker' : 'service docker start';
    return `Start it with "sudo ${start}".`;
  }
  return `Install and start one: ${installCommand(await readOsRelease())}. Or set DOCKER_HOST to one elsewhere.`;
}

/** The command that installs and starts an engine on a Linux distribution. */
export function installCommand(os: OsRelease | undefined): string {
  const family = os ? [os.id, ...os.like.split(' ')] : [];
  const has = (...names: string[]) => names.some((name) => family.includes(name));
  if (has('debian', 'ubuntu'))
    return 'sudo apt-get install -y docker.io && sudo usermod -aG docker $USER && newgrp docker';
  if (has('fedora')) return 'sudo dnf install -y moby-engine && sudo systemctl enable --now docker';
  if (has('rhel', 'centos')) return 'sudo dnf install -y podman && sudo systemctl enable --now podman.socket';
  if (has('arch')) return 'sudo pacman -S --needed docker && sudo systemctl enable --now docker';
  if (has('suse', 'opensuse')) return 'sudo zypper install -y docker && sudo systemctl enable --now docker';
  if (has('alpine')) return 'sudo apk add docker && sudo rc-service docker start';
  return 'Docker 20.10 or newer, or Podman 5 or newer, from your distribution';
}
