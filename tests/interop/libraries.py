"""Python's poplib, and Perl's Net::POP3 and Mail::POP3Client."""

from __future__ import annotations

import poplib
from functools import partial

from harness.clients import private, run, stored

from .ways import Job, Way


def python(job: Job, tls: str) -> list[bytes]:
    context = job.server.context()
    if tls == "implicit":
        session: poplib.POP3 = poplib.POP3_SSL("localhost", job.pop3s, context=context, timeout=60)
    else:
        session = poplib.POP3("localhost", job.pop3, timeout=60)
        if job.mechanism == "APOP":
            # poplib keeps the greeting's timestamp over STLS.
            session.apop(job.user, job.secret)
        else:
            session.stls(context)
    if job.mechanism == "USER":
        session.user(job.user)
        session.pass_(job.secret)
    elif tls == "implicit":
        session.apop(job.user, job.secret)
    count = session.stat()[0]
    messages = [b"\r\n".join(session.retr(number)[1]) + b"\r\n" for number in range(1, count + 1)]
    for number in range(1, count + 1):
        session.dele(number)
    session.quit()
    return messages


NET_POP3 = r"""
use strict; use warnings; use Net::POP3;
my ($port, $tls, $ca, $user, $secret_file, $mechanism, $out) = @ARGV;
open my $file, '<', $secret_file or die; my $secret = <$file>; close $file;
my %ssl = (SSL_ca_file => $ca, SSL_verifycn_name => 'localhost', SSL_verify_mode => 1);
my $pop = Net::POP3->new('localhost', Port => $port, Timeout => 60, $tls eq 'implicit' ? (SSL => 1, %ssl) : ())
    or die "connect: $@";
if ($tls eq 'stls') { $pop->starttls(%ssl) or die 'starttls: ' . $pop->message }
my $count;
if ($mechanism eq 'USER') { $count = $pop->login($user, $secret) }
elsif ($mechanism eq 'APOP') { $count = $pop->apop($user, $secret) }
else {
    require Authen::SASL;
    my $sasl = Authen::SASL->new(mechanism => $mechanism, callback => { user => $user, authname => '', pass => $secret });
    $pop->auth($sasl) or die 'auth: ' . $pop->message;
    $count = 1;
}
defined $count or die 'login: ' . $pop->message;
my $list = $pop->list;
$pop->top($_, 0) for sort keys %$list;
my $unique_ids = $pop->uidl;
for my $number (sort { $a <=> $b } keys %$list) {
    defined $unique_ids->{$number} or die 'uidl';
    my $lines = $pop->get($number) or die 'get: ' . $pop->message;
    open my $to, '>', "$out/$number" or die; print $to @$lines; close $to;
    $pop->delete($number) or die 'delete';
}
$pop->quit or die 'quit';
"""

MAIL_POP3CLIENT = r"""
use strict; use warnings; use Mail::POP3Client; use IO::Socket::SSL;
my ($port, $tls, $ca, $user, $secret_file, $mechanism, $out) = @ARGV;
open my $file, '<', $secret_file or die; my $secret = <$file>; close $file;
my $socket = IO::Socket::SSL->new(PeerAddr => 'localhost', PeerPort => $port, Timeout => 60, SSL_ca_file => $ca,
    SSL_verifycn_name => 'localhost', SSL_verify_mode => 1) or die "connect: $!";
# Without a name: with one it would connect by itself, in clear.
my $pop = Mail::POP3Client->new;
$pop->AuthMode($mechanism eq 'USER' ? 'PASS' : $mechanism);
$pop->User($user);
$pop->Pass($secret);
$pop->Socket($socket);
$pop->Connect or die 'login: ' . $pop->Message;
$pop->Count >= 0 or die 'login: ' . $pop->Message;
for my $number (1 .. $pop->Count) {
    open my $to, '>', "$out/$number" or die;
    my @lines = $pop->HeadAndBody($number);
    print $to map { "$_\n" } @lines;
    close $to;
    $pop->Delete($number) or die 'delete: ' . $pop->Message;
}
$pop->Close or die 'quit: ' . $pop->Message;
"""


def perl(job: Job, tls: str, program: str) -> list[bytes]:
    out = job.directory / "stored"
    out.mkdir()
    script, secret = private(job.directory / "script.pl", program), private(job.directory / "secret", job.secret)
    port = job.pop3s if tls == "implicit" else job.pop3
    run(
        ["perl", script, str(port), tls, job.certificate, job.user, secret, job.mechanism, out],
        job.directory,
        seconds=60,
    )
    return stored(out)


def _ways(client: str, fetch, mechanisms: str, tls: str) -> list[Way]:
    return [Way(client, mechanism, partial(fetch, tls=tls), tls) for mechanism in mechanisms.split()]


WAYS = [
    *_ways("poplib", python, "USER APOP", "implicit"),
    *_ways("poplib", python, "USER", "stls"),
    *_ways("net-pop3", partial(perl, program=NET_POP3), "USER APOP PLAIN LOGIN CRAM-MD5", "implicit"),
    *_ways("net-pop3", partial(perl, program=NET_POP3), "USER PLAIN", "stls"),
    *_ways("mail-pop3client", partial(perl, program=MAIL_POP3CLIENT), "USER APOP CRAM-MD5", "implicit"),
]
