import type { z } from 'zod'
import { agentRolesSchema } from './agent_roles.js'
import { alertsSchema } from './alerts.js'
import { approvalsSchema } from './approvals.js'
import { autoApproveSchema } from './auto_approve.js'
import { controlSchema } from './control.js'
import { invariantsSchema } from './invariants.js'
import { proposalCapsSchema } from './proposal_caps.js'
import { reactionMatrixSchema } from './reaction_matrix.js'
import { retentionSchema } from './retention.js'
import { schedulesSchema } from './schedules.js'
import { servicesSchema } from './services.js'
import { workerPolicySchema } from './worker_policy.js'

/** The schema of every policy, by the key of its row in `ops_policy`. The only place where a policy is described. */
export const policySchemas = {
  reaction_matrix: reactionMatrixSchema,
  auto_approve: autoApproveSchema,
  proposal_caps: proposalCapsSchema,
  worker_policy: workerPolicySchema,
  agent_roles: agentRolesSchema,
  control: controlSchema,
  approvals: approvalsSchema,
  schedules: schedulesSchema,
  alerts: alertsSchema,
  invariants: invariantsSchema,
  retention: retentionSchema,
  services: servicesSchema,
} as const satisfies Record<string, z.ZodType>

export type PolicyKey = keyof typeof policySchemas

/** A policy as code reads it: defaults filled in, aliases resolved. */
export type PolicyValue<Key extends PolicyKey> = z.output<(typeof policySchemas)[Key]>

export const policyKeys = Object.keys(policySchemas).filter(isPolicyKey)

export function isPolicyKey(key: string): key is PolicyKey {
  return Object.hasOwn(policySchemas, key)
}
