import { defineExecutor, fail } from '../define.js'
import { throughCli } from './cli.js'
import { throughGateway } from './gateway.js'
import { params } from './params.js'

/** Asks an agent of OpenClaw, through its command line or its gateway. */
export default defineExecutor({
  kind: 'openclaw',
  params,
  env: [
    ...['PATH', 'HOME', 'LANG', 'TMPDIR'],
    ...[
      'OPENCLAW_GATEWAY_URL',
      'OPENCLAW_GATEWAY_TOKEN',
      'OPENCLAW_GATEWAY_PASSWORD',
      'OPENCLAW_HOOKS_TOKEN',
    ],
    ...['OPENCLAW_STATE_DIR', 'OPENCLAW_CONFIG_PATH'],
    // For agents that run inside the command line.
    ...['ANTHROPIC_API_KEY', 'OPENAI_API_KEY', 'GEMINI_API_KEY', 'OPENROUTER_API_KEY'],
  ],
  run(context) {
    const { params, policy, env } = context
    if (!policy.allowed_openclaw_subcommands.includes(params.subcommand)) {
      const error = `openclaw ${params.subcommand} is not allowed: policy worker_policy names the subcommands in allowed_openclaw_subcommands`
      return fail(error, { meta: { code: 'OPS_012' } })
    }
    const via =
      params.via ??
      (params.subcommand === 'agent' && !params.local && env.OPENCLAW_GATEWAY_URL ? 'gateway' : 'cli')
    return via === 'gateway' || !params.wait ? throughGateway(context) : throughCli(context)
  },
})
