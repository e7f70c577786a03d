/** How to set up mail clients. `host`, `port` and `user` are the real ones. */
export interface Server {
  host: string;
  port: string;
  user: string;
}

interface Client {
  name: string;
  steps?: (server: Server) => string[];
  /** A file of settings, in place of steps. */
  file?: { name: string; text: (server: Server) => string };
}

export const setUp: Record<string, Client> = {
  thunderbird: {
    name: 'Thunderbird',
    steps: ({ host, port, user }) => [
      'Open the menu, then New Account, Email.',
      `Enter your name and ${user}, and go on. If Thunderbird finds the settings by itself, choose POP3; else choose Configure manually.`,
      `Protocol POP3, host name ${host}, port ${port}, connection security SSL/TLS, authentication Normal password, user name ${user}.`,
      'Enter the app password when it is asked for, and let Thunderbird remember it.',
    ],
  },
  outlook: {
    name: 'Outlook',
    steps: ({ host, port, user }) => [
      `File, Add Account, enter ${user}, open Advanced options and tick Let me set up my account manually.`,
      'Choose POP.',
      `Incoming mail: server ${host}, port ${port}, tick This server requires an encrypted connection (SSL/TLS). Leave Secure Password Authentication off.`,
      `User name ${user}, and the app password as the password.`,
    ],
  },
  apple: {
    name: 'Apple Mail',
    steps: ({ host, port, user }) => [
      'macOS: Mail, Add Account, Other Mail Account. iPhone: Settings, Apps, Mail, Mail Accounts, Add Account, Other.',
      `Enter ${user} and the app password. When the account cannot be found by itself, choose POP.`,
      `Incoming mail server ${host}, user name ${user}, the app password.`,
      `In the account’s advanced settings: port ${port}, Use TLS/SSL on, authentication Password.`,
    ],
  },
  android: {
    name: 'Android: Thunderbird, K-9',
    steps: ({ host, port, user }) => [
      `Add an account with ${user}, then choose Edit configuration (or Manual setup) and POP3.`,
      `POP3 server ${host}, security SSL/TLS, port ${port}.`,
      `Authentication Normal password, user name ${user}, and the app password.`,
    ],
  },
  fetchmail: {
    name: 'fetchmail',
    file: {
      name: '~/.fetchmailrc (mode 0600)',
      text: ({ host, port, user }) =>
        `poll ${host} service ${port} protocol pop3\n  user "${user}" password "APP-PASSWORD"\n  ssl sslproto TLS1.2+ sslcertck keep uidl\n`,
    },
  },
  mpop: {
    name: 'mpop',
    file: {
      name: '~/.mpoprc (mode 0600)',
      text: ({ host, port, user }) =>
        `account restante\nhost ${host}\nport ${port}\ntls on\ntls_starttls off\ntls_trust_file system\nuser ${user}\npassword APP-PASSWORD\nauth plain\ndelivery maildir ~/Maildir\nkeep on\n`,
    },
  },
};
