import { accounts } from './accounts';
import { admins } from './admins';
import { aliases } from './aliases';
import { audit } from './audit';
import { common } from './common';
import { domains } from './domains';
import { jobs } from './jobs';
import { keys } from './keys';
import { liveSessions } from './live-sessions';
import { overview } from './overview';
import { policy } from './policy';
import { profile } from './profile';
import { reasons } from './reasons';
import { setUp } from './setup';
import { shell } from './shell';
import { signIn } from './sign-in';
import { tenants } from './tenants';
import { webhooks } from './webhooks';

export const en = {
  common,
  shell,
  signIn,
  profile,
  policy,
  setUp,
  overview,
  reasons,
  liveSessions,
  tenants,
  domains,
  accounts,
  aliases,
  admins,
  keys,
  webhooks,
  audit,
  jobs,
};
