// Package failure reports operations that changed the cluster but did not reach the wanted end.
package failure

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

// Incomplete makes the engine record the resource with its state although the operation failed. The
// next update then runs Update on it, and a removal runs Delete.
func Incomplete(id string, err error, state, inputs *structpb.Struct) error {
	return rpcerror.WithDetails(
		rpcerror.New(codes.Unknown, err.Error()),
		&pulumirpc.ErrorResourceInitFailed{
			Id:         id,
			Properties: state,
			Reasons:    []string{err.Error()},
			Inputs:     inputs,
		})
}
