import { runCommand } from '../../../lib/run-command.ts';
import { isDebianLike, type OsRelease, readOsRelease } from './os-release.ts';
import { lastLines, type Report } from './progress.ts';

/** The release of this host if packages can be installed: as root, on Debian or Ubuntu. Undefined otherwise. */
export async function findInstallableHost(): Promise<OsRelease | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined;
  const os = await readOsRelease();
  return os && isDebianLike(os) ? os : undefined;
}

/**
 * Installs distribution packages without questions. Waits if another apt is running.
 * @throws Error with the last lines of apt's output
 */
export async function installPackages(names: readonly string[], report: Report, signal?: AbortSignal): Promise<void> {
  report(`Installing ${names.join(', ')} with apt-get`);
  await runApt(['update'], report, signal);
  await runApt(['install', '--yes', ...names], report, signal);
}

async function runApt(args: readonly string[], report: Report, signal?: AbortSignal): Promise<void> {
  const apt = ['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3', ...args];
  const { code, stdout, stderr } = await runCommand('env', ['DEBIAN_FRONTEND=noninteractive', ...apt], {
    signal,
    onLine: (line) => {
      if (/^(Setting up|Unpacking) /.test(line)) report(line.replace(/ \(.*/, ''));
    },
  });
  if (code !== 0) throw new Error(`apt-get ${args.join(' ')} failed.\n${lastLines(`${stdout}\n${stderr}`)}`);
}
