"""What makes the site of docs/: pages whose code runs, links that hold in a checkout and in the site."""
