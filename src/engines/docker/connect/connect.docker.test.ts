import { homedir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import Dockerode from 'dockerode';
import { expect, test } from 'vitest';
import { connectEngine, createDockerClient } from './connect.ts';
import { SshAgent } from './ssh.ts';

const hostEnvironment = { docker: { tlsVerify: false, configDir: join(homedir(), '.docker') }, home: homedir() };

test('finds the engine of this machine and keeps its connection over hijacked ones', async () => {
  const { docker } = await connectEngine({ hostEnvironment });
  await using container = await startSleeper(docker);
  for (let round = 0; round < 5; round += 1) {
    expect(await echo(container.docker, `round ${round}`)).toBe(`round ${round}`);
    await docker.ping();
  }
});

test('talks to an engine through the standard streams of a process, as over SSH', async () => {
  const agent = new SshAgent(['docker', 'system', 'dial-stdio']);
  const options: Dockerode.DockerOptions & { agent: SshAgent } = {
    protocol: 'http',
    host: 'ssh.invalid',
    port: 80,
    agent,
  };
  const docker = new Dockerode(options);
  await using container = await startSleeper(docker);
  const answers = await Promise.all(['a', 'b', 'c'].map((text) => echo(container.docker, text)));
  expect(answers).toEqual(['a', 'b', 'c']);
  expect((await docker.version()).Version).toBeTruthy();
  agent.destroy();
});

test('an engine that is not there is refused at once', async () => {
  const docker = createDockerClient({ address: 'tcp://127.0.0.1:9', source: 'a test' });
  await expect(docker.ping()).rejects.toThrow('ECONNREFUSED');
});

async function startSleeper(docker: Dockerode) {
  const image = (await docker.listImages({ filters: { label: ['glovebox.image'] } })).at(-1);
  const container = await docker.createContainer({
    Image: image?.Id ?? 'glovebox-sandbox',
    Cmd: ['sleep', '60'],
    HostConfig: { NetworkMode: 'none', AutoRemove: true },
  });
  await container.start();
  return {
    docker: container,
    [Symbol.asyncDispose]: async () => {
      await container.remove({ force: true });
    },
  };
}

/** Sends text through a hijacked exec of `cat` and reads it back. */
async function echo(container: Dockerode.Container, text: string): Promise<string> {
  const exec = await container.exec({ Cmd: ['cat'], AttachStdin: true, AttachStdout: true });
  const stream = await exec.start({ hijack: true, stdin: true });
  const out = new PassThrough();
  const chunks: Buffer[] = [];
  out.on('data', (chunk: Buffer) => chunks.push(chunk));
  container.modem.demuxStream(stream, out, out);
  stream.end(text);
  await finished(stream, { writable: false });
  return Buffer.concat(chunks).toString();
}
