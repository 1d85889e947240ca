// A workflow of three steps that do nothing, for `cargo xtask bench saga`. Arguments: a folder with Restate's SDK, a port.
import { createServer } from 'node:http2';
import { createRequire } from 'node:module';

const [folder, port] = process.argv.slice(2);
const restate = createRequire(`${folder}/`)('@restatedev/restate-sdk');

const trip = restate.service({
  name: 'trip',
  handlers: {
    run: async (context, input) => {
      const { order } = await context.run('order', () => ({ order: input.number }));
      const { payment } = await context.run('payment', () => ({ payment: order }));
      return context.run('stock', () => ({ stock: payment }));
    },
  },
});

createServer(restate.createEndpointHandler({ services: [trip] })).listen(Number(port), '127.0.0.1');
