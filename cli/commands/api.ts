import { Command } from 'commander'
import { findDatabase, type GlobalOptions } from '../connection.js'
import { port } from '../numbers.js'

export function apiCommand(): Command {
  return new Command('api')
    .description('serve the control plane until it is stopped')
    .option('--port <port>', 'port of 127.0.0.1 (default: PORT, then 8787)', port)
    .addHelpText('after', '\nExample:\n  OPS_API_KEY=… GITHUB_WEBHOOK_SECRET=… ops-loop api --port 8787')
    .action(async (options: { port?: number }, command: Command) => {
      const { apiMain } = await import('../../api/server.js')
      const globals = command.optsWithGlobals<GlobalOptions>()
      await findDatabase(globals)
      process.exitCode = await apiMain({ port: options.port, json: globals.json })
    })
}
