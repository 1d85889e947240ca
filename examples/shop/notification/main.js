// The notification service of the example shop: what customers were told, the last 1,000 of it, in memory.
//
// It is told of orders by the platform, which posts events (CloudEvents) to it until they are taken.
//
// Only Node's own modules, version 18 or later. It knows nothing of the mesh: it listens on $PORT and calls
// http://payment through the proxy that $http_proxy names. Node's fetch ignored that variable for long, so
// the call is made the ordinary way for a proxy: http.request with an absolute URI.
//
// Left out on purpose: telling anybody anything (no mail is sent), and keeping it over a restart.
'use strict';

const http = require('node:http');

const KEPT = 1000; // notifications
const MAX_BODY = 64 * 1024; // bytes of a request, or of another service's answer
const MAX_TEXT = 1000; // characters of a notification
const LONGEST_CALL = 2000; // ms
const MAX_SLOW = 20000; // ms
const DRAIN = 2000; // ms that requests in flight have after SIGTERM

const proxyText = process.env.http_proxy || process.env.HTTP_PROXY;
const proxy = proxyText ? new URL(proxyText) : undefined;
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

/** The notifications, oldest first, and by idempotency key so that one sent again is kept once. */
const kept = [];
const byKey = new Map();
let told = 0;

/** One line of short text to stdout. */
function log(event, fields = {}) {
  console.log(event, ...Object.entries(fields).map(([key, value]) => `${key}=${value}`));
}

/** An answer in the form of RFC 9457. */
class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.body = { status, title: http.STATUS_CODES[status], code, detail };
  }
}

/** A request's or an answer's body as text, refused when it is too large. */
async function readBody(stream) {
  const chunks = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > MAX_BODY) throw new Problem(413, 'request.too-large', `a body has at most ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What is wrong with this instance on purpose. */
const faults = { slow: 0, unavailable: false, refuse: false, lose: 0 };

/** Turns a knob: `/admin/slow`, `unavailable`, `refuse` or `lose-replies`. */
async function turn(knob, request) {
  const { ms, on, count } = JSON.parse((await readBody(request)) || '{}');
  const isCount = (value, most) => Number.isInteger(value) && value >= 0 && value <= most;
  if (knob === 'slow' && isCount(ms, MAX_SLOW)) faults.slow = ms;
  else if ((knob === 'unavailable' || knob === 'refuse') && typeof on === 'boolean') faults[knob] = on;
  else if (knob === 'lose-replies' && isCount(count, Number.MAX_SAFE_INTEGER)) faults.lose = count;
  else throw new Problem(422, 'request.invalid', 'expected {"ms": …}, {"on": …} or {"count": …}');
  log('fault', faults);
  return { status: 200, body: {} };
}

/** Makes a request to the service's own routes wait or fail as the knobs say. */
async function suffer(request) {
  if (faults.slow > 0) await new Promise((resolve) => setTimeout(resolve, faults.slow));
  if (faults.unavailable) {
    throw new Problem(503, 'notification.unavailable', 'this instance was told to be unavailable');
  }
  if (faults.refuse && request.method !== 'GET') {
    throw new Problem(422, 'notification.refused', 'this instance was told to refuse');
  }
}

/** Keeps one more notification, and forgets the oldest when there are too many. */
function keep(order, text, key) {
  const known = key && byKey.get(key);
  if (known) return known;
  told += 1;
  const notification = { id: told, order, text, at_ms: Date.now() };
  kept.push({ notification, key });
  if (key) byKey.set(key, notification);
  if (kept.length > KEPT) byKey.delete(kept.shift().key);
  log('notified', { order, id: told });
  return notification;
}

async function create(request) {
  let body;
  try {
    body = JSON.parse(await readBody(request));
  } catch (error) {
    throw error instanceof Problem ? error : new Problem(400, 'request.invalid', `the body is no JSON: ${error.message}`);
  }
  const { order, text } = body ?? {};
  const isText = (value, most) => typeof value === 'string' && value.length > 0 && value.length <= most;
  if (!isText(order, 128) || !isText(text, MAX_TEXT)) {
    throw new Problem(422, 'request.invalid', `order and text must be strings of at most 128 and ${MAX_TEXT} characters`);
  }
  return { status: 201, body: keep(order, text, request.headers['idempotency-key']?.slice(0, 256)) };
}

/** An event as CloudEvents over HTTP has it: in the headers and the body, or all of it in the body. */
async function event(request) {
  let whole;
  try {
    whole = JSON.parse(await readBody(request));
  } catch (error) {
    throw error instanceof Problem ? error : new Problem(400, 'request.invalid', `the body is no JSON: ${error.message}`);
  }
  const isWhole = (request.headers['content-type'] ?? '').startsWith('application/cloudevents+json');
  const about = (name) => (isWhole ? whole?.[name] : request.headers[`ce-${name}`]);
  return { type: about('type'), source: about('source'), id: about('id'), data: isWhole ? whole?.data : whole };
}

/** Tells a customer that the order is confirmed; once, however often the event comes. */
async function take(request) {
  const { type, source, id, data } = await event(request);
  if (type !== 'order.confirmed' || typeof data?.order !== 'string' || !id) {
    throw new Problem(422, 'notification.invalid-event', 'only order.confirmed is understood, with an order');
  }
  keep(data.order.slice(0, 128), `Order ${data.order} over ${data.total} is confirmed`, `${source} ${id}`);
  return { status: 200, body: {} };
}

function list() {
  return { status: 200, body: { notifications: kept.map(({ notification }) => notification).reverse() } };
}

/** An order's notifications, with its payment as the payment service tells it (null when it does not). */
async function ofOrder(order, headers) {
  const notifications = kept.map(({ notification }) => notification).filter((it) => it.order === order);
  if (notifications.length === 0) throw new Problem(404, 'notification.unknown', `nothing was told about ${order.slice(0, 80)}`);
  let payment = null;
  try {
    payment = await get('payment', `/payments/${encodeURIComponent(order)}`, headers);
  } catch (error) {
    log('payment unknown', { order, error: error.message });
  }
  return { status: 200, body: { order, notifications, payment } };
}

/** Calls another service by its name, with the caller's trace and what is left of its time. */
async function get(service, path, incoming) {
  const headers = { host: service, accept: 'application/json' };
  for (const name of ['traceparent', 'tenon-timeout-ms']) if (incoming[name]) headers[name] = incoming[name];
  const left = Number.parseInt(incoming['tenon-timeout-ms'] ?? '', 10);
  const timeout = Math.max(1, Math.min(LONGEST_CALL, Number.isNaN(left) ? LONGEST_CALL : left));
  let target = { host: service, path };
  if (proxy) {
    target = { host: proxy.hostname, port: proxy.port || 80, path: `http://${service}${path}` };
    if (proxy.username) headers['proxy-authorization'] = basic(proxy);
  }
  const answer = await new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeout);
    http.request({ ...target, headers, agent, signal }, resolve).on('error', reject).end();
  });
  const text = await readBody(answer);
  if (answer.statusCode !== 200) throw new Error(`${service} answered ${answer.statusCode}`);
  return JSON.parse(text);
}

/** The credentials of a proxy's URL (RFC 7617). */
function basic({ username, password }) {
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

async function route(request) {
  const { pathname } = new URL(request.url, 'http://notification');
  const [, root, order, ...rest] = pathname.split('/');
  if (request.method === 'GET' && pathname === '/health') return { status: 200, body: { status: 'ok' } };
  if (request.method === 'POST' && root === 'admin' && rest.length === 0) return turn(order, request);
  await suffer(request);
  if (root === 'notifications' && rest.length === 0) {
    if (request.method === 'GET') return order ? ofOrder(decode(order), request.headers) : list();
    if (request.method === 'POST' && order === undefined) return create(request);
  }
  if (request.method === 'POST' && pathname === '/events') return take(request);
  throw new Problem(404, 'request.unknown', 'there are only /notifications, /notifications/{order} and /health');
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new Problem(400, 'request.invalid', 'the path is not percent-encoded UTF-8');
  }
}

async function handle(request, response) {
  let answer;
  try {
    answer = await route(request);
  } catch (error) {
    if (!(error instanceof Problem)) log('fault', { error: error.stack?.replaceAll('\n', ' ') ?? error });
    const problem = error instanceof Problem ? error : new Problem(500, 'notification.fault', 'see the log');
    answer = { status: problem.body.status, body: problem.body, problem: true };
  }
  if (faults.lose > 0 && !/^\/(admin|health)/.test(request.url)) {
    faults.lose -= 1;
    log('the answer is lost');
    return request.socket.destroy();
  }
  const data = Buffer.from(JSON.stringify(answer.body));
  const kind = answer.problem ? 'application/problem+json' : 'application/json';
  const headers = { 'content-type': kind, 'content-length': data.length };
  // After a body that was not read to its end, or while stopping, the connection is of no more use.
  if (!request.complete || stopping) headers.connection = 'close';
  response.writeHead(answer.status, headers).end(data);
}

let stopping = false;
const server = http.createServer({ requestTimeout: 30000, keepAliveTimeout: 75000 }, handle);
server.maxConnections = 256;

function stop() {
  stopping = true;
  server.close(() => {
    log('stopped', { service: 'notification' });
    process.exit(0);
  });
  server.closeIdleConnections();
  setTimeout(() => process.exit(0), DRAIN).unref();
}

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
server.listen(Number(process.env.PORT), '127.0.0.1', () => {
  log('started', { service: 'notification', port: server.address().port });
});
