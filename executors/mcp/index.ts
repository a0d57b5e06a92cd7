import { z } from 'zod'
import { toolsOf } from '../agent.js'
import { defineExecutor, type ExecutorContext, fail, type McpServer, type Outcome } from '../define.js'

const params = z.strictObject({
  server: z
    .string()
    .min(1)
    .max(64)
    .describe('The server, by its name in policy `worker_policy.mcp_servers`.'),
  tool: z.string().min(1).max(200).describe('The tool; the policy has to list it for that server.'),
  arguments: z.record(z.string(), z.json()).default({}).describe('What the tool is given.'),
  timeout_seconds: z.number().min(1).max(3600).default(60).describe('How long the call may take.'),
})
/** What is called, and with what. */
export type Call = z.output<typeof params>

/** Calls one tool of an MCP server that policy names. */
export default defineExecutor({
  kind: 'mcp',
  params,
  env: ['PATH', 'HOME', 'LANG', 'TMPDIR', 'OPS_MCP_*'],
  async run(context) {
    const { params, policy } = context
    const server = Object.hasOwn(policy.mcp_servers, params.server)
      ? policy.mcp_servers[params.server]
      : undefined
    if (!server)
      return forbidden(
        `there is no MCP server '${params.server}': policy worker_policy names them in mcp_servers`,
      )
    const refused = refusal(context, server)
    if (refused) return refused
    // What speaks the protocol takes ten megabytes, which a worker without such steps does not need.
    const { converse } = await import('./session.js')
    return converse(context, server)
  },
})

const forbidden = (error: string) => fail(error, { meta: { code: 'OPS_012' } })

/** A tool has to pass three lists: that of the server, that of policy, and that of the role of the agent that the step names. */
function refusal({ params, policy, role }: ExecutorContext<Call>, server: McpServer): Outcome | undefined {
  const { tool } = params
  if (!server.tools.includes(tool)) {
    return forbidden(
      `tool '${tool}' is not allowed: policy worker_policy lists those of '${params.server}' in mcp_servers`,
    )
  }
  const granted = toolsOf(role, policy)
  if (granted && !granted.includes(tool) && !granted.includes(`${params.server}/${tool}`)) {
    return forbidden(
      `tool '${tool}' is not among those that the agent's role and worker_policy.allowed_tools grant`,
    )
  }
  return undefined
}
