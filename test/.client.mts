import http from 'node:http';
const base = new URL(process.argv[2]);
const agent = new http.Agent({keepAlive:true,maxSockets:1});
const post = (path, body, headers) => new Promise((res, rej) => { const d=JSON.stringify(body); const r=http.request({host:base.hostname,port:base.port,path,method:'POST',agent,headers:{'content-type':'application/json',accept:'application/json, text/event-stream','content-length':Buffer.byteLength(d),...headers}}, m=>{let t='';m.setEncoding('utf8');m.on('data',c=>t+=c);m.on('end',()=>res({t,h:m.headers,s:m.statusCode}))}); r.on('error',rej); r.end(d); });
async function bench(name, f){ for(let i=0;i<500;i++) await f(i); const n=3000, ts=[]; for(let i=0;i<n;i++){const t=process.hrtime.bigint(); await f(i); ts.push(Number(process.hrtime.bigint()-t)/1000);} ts.sort((a,b)=>a-b); console.log(name.padEnd(14),'p50',ts[n/2].toFixed(0),'us  p95',ts[n*.95|0].toFixed(0),'us'); }
const meta={'io.modelcontextprotocol/protocolVersion':'2026-07-28','io.modelcontextprotocol/clientCapabilities':{},'io.modelcontextprotocol/clientInfo':{name:'b',version:'1'}};
const r=await post('/execute',{name:'echo',arguments:{text:'x'}},{}); console.log(r.s,r.t.slice(0,200));
const m=await post('/mcp',{jsonrpc:'2.0',id:1,method:'tools/call',params:{name:'echo',arguments:{text:'x'},_meta:meta}},{'mcp-protocol-version':'2026-07-28','mcp-method':'tools/call','mcp-name':'echo'}); console.log(m.s,m.t.slice(0,300));
const init=await post('/mcp',{jsonrpc:'2.0',id:0,method:'initialize',params:{protocolVersion:'2025-11-25',capabilities:{},clientInfo:{name:'b',version:'1'}}},{}); const sid=init.h['mcp-session-id']; await post('/mcp',{jsonrpc:'2.0',method:'notifications/initialized'},{'mcp-session-id':sid,'mcp-protocol-version':'2025-11-25'});
for (let k=0;k<2;k++){
await bench('health',()=>new Promise((res)=>http.get({host:base.hostname,port:base.port,path:'/health',agent},m=>{m.resume();m.on('end',res)})));
await bench('REST',()=>post('/execute',{name:'echo',arguments:{text:'x'}},{}));
await bench('modern',(i)=>post('/mcp',{jsonrpc:'2.0',id:i,method:'tools/call',params:{name:'echo',arguments:{text:'x'},_meta:meta}},{'mcp-protocol-version':'2026-07-28','mcp-method':'tools/call','mcp-name':'echo'}));
await bench('legacy',(i)=>post('/mcp',{jsonrpc:'2.0',id:i+1,method:'tools/call',params:{name:'echo',arguments:{text:'x'}}},{'mcp-session-id':sid,'mcp-protocol-version':'2025-11-25'}));
}
process.exit(0);
