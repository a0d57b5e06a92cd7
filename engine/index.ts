export {
  type ConnectionEnv,
  connectEngine,
  connectionFromEnv,
  type EngineOptions,
  engineFromEnv,
} from './connect.js'
export { type Env, envSchema, loadDotEnv, parseEnv, readEnv } from './env.js'
export {
  fromDatabaseError,
  isOpsCode,
  isRetryable,
  OPS_CODES,
  type OpsCode,
  OpsError,
  type OpsErrorOptions,
} from './errors.js'
export { faultOf, type TransportName } from './faults.js'
export { readHandedStep } from './handed.js'
export { infiniteNumber, pathText } from './json.js'
export type * from './types.js'
