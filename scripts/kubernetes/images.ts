import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../../src/lib/run-command.ts';
import { PAUSE_IMAGE } from './node-files.ts';

const IMPORT_LIMIT_MS = 180_000;

/** Identifies what a name of this machine's Docker stands for now: another build of it has another id. */
export async function imageId(image: string): Promise<string> {
  return (await run('docker', ['image', 'inspect', '--format', '{{.Id}}', image])).trim();
}

/** Has an image of this machine's Docker in a file, as nodes import it. */
export async function saveImage(image: string, file: string): Promise<void> {
  await run('docker', ['save', '--output', file, image]);
}

/** Gives a node an image from a file. */
export async function importImage(socket: string, file: string): Promise<void> {
  const { code, stderr } = await runCommand(
    'ctr',
    ['--address', socket, '--namespace', 'k8s.io', 'images', 'import', file],
    {
      timeoutMs: IMPORT_LIMIT_MS,
    },
  );
  if (code !== 0) throw new Error(`A node did not take ${file}: ${stderr.trim()}`);
}

/** Makes the image of the process that holds a pod's namespaces: one program that waits. */
export async function createPauseImage(folder: string, file: string): Promise<void> {
  const work = join(folder, 'pause');
  mkdirSync(join(work, 'layer'), { recursive: true });
  const source = join(work, 'pause.c');
  writeFileSync(source, PAUSE);
  await run('gcc', ['-static', '-Os', '-s', '-o', join(work, 'layer', 'pause'), source]);
  const layer = join(work, 'layer.tar');
  await run('tar', ['--create', '--file', layer, '--directory', join(work, 'layer'), 'pause']);
  const layerHash = createHash('sha256').update(readFileSync(layer)).digest('hex');
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Entrypoint: ['/pause'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layerHash}`] },
  });
  writeFileSync(join(work, 'config.json'), config);
  const manifest = [{ Config: 'config.json', RepoTags: [PAUSE_IMAGE], Layers: ['layer.tar'] }];
  writeFileSync(join(work, 'manifest.json'), JSON.stringify(manifest));
  await run('tar', ['--create', '--file', file, '--directory', work, 'manifest.json', 'config.json', 'layer.tar']);
  rmSync(work, { recursive: true });
}

const PAUSE = `
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) {
  signal(SIGINT, end);
  signal(SIGTERM, end);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
`;

async function run(command: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand(command, args);
  if (code !== 0) throw new Error(`"${command} ${args[0]}" failed: ${stderr.trim()}`);
  return stdout;
}
