import type { AgentRole, ExecutorPolicy } from './define.js'

/**
 * The tools that an agent may be given: those of its role that policy allows. Undefined when neither names any, which leaves
 * it to whoever runs the agent.
 */
export function toolsOf(
  role: AgentRole | undefined,
  { allowed_tools }: Pick<ExecutorPolicy, 'allowed_tools'>,
): string[] | undefined {
  const { tools } = role ?? {}
  if (!tools || !allowed_tools) return tools ?? allowed_tools
  return tools.filter((tool) => allowed_tools.includes(tool))
}

/** What an agent is told about itself before its task: its role's instructions, and which tools it may use. */
export function briefing(
  role: AgentRole | undefined,
  policy: Pick<ExecutorPolicy, 'allowed_tools'>,
): string | undefined {
  const tools = toolsOf(role, policy)
  const allowance =
    tools && (tools.length > 0 ? `Use no tools but these: ${tools.join(', ')}.` : 'Use no tools.')
  return [role?.instructions, allowance].filter(Boolean).join('\n\n') || undefined
}
