import { execInPod } from './pods-of.ts';
import { engine, isCluster, type SeenContainer } from './server.ts';

/** What a command of a container's user prints. In a pod there is no other user. */
export async function execInside({ id }: SeenContainer, uid: number, command: string[]): Promise<string> {
  if (isCluster()) return await execInPod(id, command);
  const user = `${uid}:${uid}`;
  const options = { Cmd: command, User: user, AttachStdout: true, AttachStderr: true, Tty: true };
  const exec = await engine().getContainer(id).exec(options);
  const stream = await exec.start({ hijack: true });
  let said = '';
  for await (const chunk of stream) said += String(chunk);
  return said;
}
