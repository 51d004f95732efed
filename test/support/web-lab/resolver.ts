/**
 * A resolver that answers as its zone says, and can tell lies with it. A program of its own, so that it runs in a network.
 * `resolver.ts ADDRESS ZONE`; names that begin with `silent.` get no answer.
 */
import DNS from 'dns2';
import type { Answer, Zone } from './zone.ts';

const [address = '', zoneText = '{}'] = process.argv.slice(2);
const zone = JSON.parse(zoneText) as Zone;
const times = new Map<string, number>();
const { A, AAAA, CNAME } = DNS.Packet.TYPE;

/** The answer of a name for this time. */
function next(name: string, type: number): Answer | undefined {
  const list = Object.hasOwn(zone, name) ? zone[name] : undefined;
  const time = times.get(`${name} ${type}`) ?? 0;
  times.set(`${name} ${type}`, time + 1);
  return list?.[Math.min(time, list.length - 1)];
}

/** All records of a name, those of the names that it stands for included. Undefined if there is no such name. */
function records(name: string, type: number): DNS.Packet.Resource[] | undefined {
  const answer = next(name.toLowerCase(), type);
  if (!answer) return undefined;
  const common = { name, class: DNS.Packet.CLASS.IN, ttl: 0 };
  if ('alias' in answer) {
    const alias = new DNS.Packet.Resource({ ...common, type: CNAME, domain: answer.alias });
    return [alias, ...(records(answer.alias, type) ?? [])];
  }
  const addresses = (type === A ? answer.v4 : type === AAAA ? answer.v6 : undefined) ?? [];
  return addresses.map((one) => new DNS.Packet.Resource({ ...common, type, address: one }));
}

const server = DNS.createServer({
  udp: true,
  handle: (request, send) => {
    const [question] = request.questions;
    if (!question || question.name.startsWith('silent.')) return;
    const found = records(question.name, question.type);
    if (!found) return void send(DNS.Packet.createErrorResponseFromRequest(request, DNS.Packet.RCODE.NXDOMAIN));
    const response = DNS.Packet.createResponseFromRequest(request);
    response.answers.push(...found);
    void send(response);
  },
});
await server.listen({ udp: { port: 53, address } });
process.stdout.write('ready\n');
