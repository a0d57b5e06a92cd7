import { OpenAPIHono } from '@hono/zod-openapi'
import type { RequestIdVariables } from 'hono/request-id'
import type { Logger } from 'pino'
import type { Engine } from '../engine/index.js'
import type { Keyring, Principal } from './access/keyring.js'
import type { ApiConfig } from './config.js'

/** What the routes stand on. */
export interface Services {
  engine: Engine
  config: ApiConfig
  identify: Keyring
  /** Milliseconds since 1970. */
  now: () => number
}

export interface ApiEnv {
  Variables: RequestIdVariables & {
    /** Bound to the request's id. */
    log: Logger
    /** Set behind `authenticate`. */
    principal: Principal
  }
}

export type Router = OpenAPIHono<ApiEnv>

/** An empty set of routes; what is invalid is answered by the app that it is mounted on. */
export function router(): Router {
  return new OpenAPIHono<ApiEnv>()
}
