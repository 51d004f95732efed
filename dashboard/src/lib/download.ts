import { send } from '../api/client.ts';

/** Saves what a route answers as a file. A plain link could not send the key. @throws ApiError */
export async function download(path: string, name: string): Promise<void> {
  const answer = await send(path, { headers: { Accept: '*/*' } });
  const url = URL.createObjectURL(await answer.blob());
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
