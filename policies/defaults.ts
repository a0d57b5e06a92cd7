import agent_roles from './default/agent_roles.json' with { type: 'json' }
import alerts from './default/alerts.json' with { type: 'json' }
import approvals from './default/approvals.json' with { type: 'json' }
import auto_approve from './default/auto_approve.json' with { type: 'json' }
import control from './default/control.json' with { type: 'json' }
import invariants from './default/invariants.json' with { type: 'json' }
import proposal_caps from './default/proposal_caps.json' with { type: 'json' }
import reaction_matrix from './default/reaction_matrix.json' with { type: 'json' }
import retention from './default/retention.json' with { type: 'json' }
import schedules from './default/schedules.json' with { type: 'json' }
import services from './default/services.json' with { type: 'json' }
import worker_policy from './default/worker_policy.json' with { type: 'json' }
import type { PolicyKey } from './schemas/index.js'

/** The policies of a new database, as an operator would write them. */
export const defaultPolicies: Readonly<Record<PolicyKey, Readonly<Record<string, unknown>>>> = {
  reaction_matrix,
  auto_approve,
  proposal_caps,
  worker_policy,
  agent_roles,
  control,
  approvals,
  schedules,
  alerts,
  invariants,
  retention,
  services,
}
